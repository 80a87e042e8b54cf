//! `missing-101`: an upgrade attempt ended, and no 101 reached the client. Says who answered and why.

use std::net::SocketAddr;

use super::{
    super::{
        Config,
        alert::{Alert, AnsweredBy, Cause, Details, Level, RuleId},
        attempt::{Decided, Last},
        event::{Attempt, Endpoint, Fields, Hop, HttpVersion, Outcome, ProductName, Request, Response, Role, Silence},
        handshake::field::{self, UpgradeRequest},
    },
    alert, call, http10_upstream, lone_upstream, negotiation_altered, path, product_at, upgrade_headers_dropped,
};

/// Why, who answered, and whom to look at.
struct Finding {
    cause: Cause,
    answered_by: AnsweredBy,
    by: Option<Endpoint>,
}

pub(super) fn check(decided: &Decided, config: &Config) -> Option<Alert> {
    let attempt = &decided.attempt;
    let client = attempt.first();
    let request = client.request.as_ref()?;
    let asked = request.is_upgrade() || request.complete && request.key().is_some() && decided.claims.main.holds();
    let broken = matches!(attempt.outcome, Outcome::Refused | Outcome::Failed);
    if !asked || request.is_offer() || !broken || !decided.claims.only.holds() {
        return None;
    }
    if client.silence == Some(Silence::ClosedByClient) && decided.waited < config.answer_timeout {
        return None;
    }
    // A proxy with hard-coded fields sends such requests too.
    if !decided.claims.all_seen.holds()
        && request.is_websocket()
        && (request.key().is_none() || field::defect(request).is_some())
    {
        return None;
    }
    // A proxy whose request failed may have tried another server then.
    let failed = status(client).is_none_or(|status| status >= 500);
    if !decided.claims.first.holds() && failed && attempt.hops.len() == 1 {
        return None;
    }
    let Finding { cause, answered_by, by } = find(decided, request);
    let status: Vec<_> = attempt.path().map(|hop| hop.response.as_ref().map(|response| response.status)).collect();
    let message = sentence(decided, cause, by.as_ref(), status[0]);
    let product = by.as_ref().and_then(|by| product_at(attempt, by)).or_else(|| client.product.clone());
    let doubt = decided.claims.doubt().filter(|_| cause == Cause::Unknown).cloned();
    let details = Details::Missing101 { status, answered_by, cause, by, doubt };
    let alert = alert(RuleId::Missing101, Level::Error, attempt.decided_at, attempt, message, details);
    Some(Alert { product, ..alert })
}

fn find(decided: &Decided, request: &Request) -> Finding {
    let path: Vec<_> = decided.attempt.path().collect();
    let (client, last) = (path[0], path[path.len() - 1]);
    let answered = client.response.as_ref();
    if !decided.claims.hops.holds() {
        // Who answered on the only hop that was seen does not depend on which others there were.
        let alone = path.len() == 1 && client.role == Role::Upstream;
        let answered_by = if alone { relayed(client, last) } else { AnsweredBy::Unknown };
        return Finding { cause: Cause::Unknown, answered_by, by: None };
    }
    if let Some(lost) = path.iter().skip(1).position(|hop| status(hop) == Some(101)) {
        // Where the answer before it was not captured, it may have been lost before that.
        if lost > 0 && path[lost].silence == Some(Silence::NotCaptured) {
            return Finding { cause: Cause::Unknown, answered_by: AnsweredBy::Unknown, by: None };
        }
        let answered_by = if answered.is_some() { AnsweredBy::Proxy } else { AnsweredBy::Nobody };
        return Finding { cause: Cause::RelayLost, answered_by, by: Some(path[lost].server.clone()) };
    }
    if let Some(drop) = upgrade_headers_dropped::find(decided) {
        return Finding { cause: Cause::HeadersDropped, answered_by: relayed(client, last), by: Some(drop.by) };
    }
    // A proxy may have mended the client's request: then that is not why the origin declined it.
    let is_mended = last.request.as_ref().is_some_and(|last| last.complete && field::defect(last).is_none());
    if field::defect(request).is_some() && !is_mended {
        return Finding {
            cause: Cause::ClientMalformed,
            answered_by: relayed(client, last),
            by: Some(client.client.clone()),
        };
    }
    match decided.last {
        Last::Proxy { upstream_seen, failed } if lone_upstream(decided).is_none() => {
            alone(decided, last, upstream_seen, failed)
        }
        Last::Origin | Last::Proxy { .. } => forwarded(decided, client, last),
    }
}

/// Whether nobody but the client has ended a hop without an answer.
fn is_waiting(hop: &Hop) -> bool {
    matches!(hop.silence, Some(Silence::Waiting | Silence::ClosedByClient))
}

fn status(hop: &Hop) -> Option<u16> {
    hop.response.as_ref().map(|response| response.status)
}

/// Who gave the answer that the client got.
fn relayed(client: &Hop, last: &Hop) -> AnsweredBy {
    match (status(client), status(last)) {
        (None, _) => AnsweredBy::Nobody,
        _ if client.role == Role::Only => AnsweredBy::Unknown,
        (Some(one), Some(other)) if one == other => AnsweredBy::Origin,
        _ => AnsweredBy::Proxy,
    }
}

/// The request was seen on its way to the origin.
fn forwarded(decided: &Decided, client: &Hop, last: &Hop) -> Finding {
    let answered_by = relayed(client, last);
    let at_origin = |cause| Finding { cause, answered_by, by: Some(last.server.clone()) };
    let Some(response) = &last.response else {
        return match last.silence {
            Some(Silence::Refused) => at_origin(Cause::UpstreamRefused),
            Some(Silence::Unreachable) => at_origin(Cause::UpstreamUnreachable),
            Some(Silence::ClosedByServer) => at_origin(Cause::UpstreamClosed),
            Some(Silence::NotCaptured) | None => Finding { cause: Cause::Unknown, answered_by, by: None },
            // A proxy that had waited too long gives that connection up: otherwise the end was not captured.
            Some(Silence::Waiting) if !is_waiting(client) => Finding { cause: Cause::Unknown, answered_by, by: None },
            Some(Silence::Waiting | Silence::ClosedByClient) => at_origin(Cause::UpstreamSilent),
        };
    };
    if let Some(cause) = by_status(last.request.as_ref(), response) {
        return at_origin(cause);
    }
    if let Some((_, by, _)) = http10_upstream::find(decided) {
        return Finding { cause: Cause::Http10, answered_by, by: Some(by) };
    }
    let is_proper = |request: &Request| {
        let whole = request.complete && request.is_upgrade() && request.version == HttpVersion::Http11;
        whole && field::defect(request).is_none()
    };
    let whole = response.complete && last.request.as_ref().is_some_and(is_proper);
    at_origin(if whole && decided.claims.all_seen.holds() { Cause::OriginRejected } else { Cause::Unknown })
}

/// A proxy got the request, and nothing of it was seen behind that proxy.
fn alone(decided: &Decided, last: &Hop, upstream_seen: bool, failed: Option<(Silence, SocketAddr)>) -> Finding {
    let unread = !decided.claims.all_seen.holds();
    let proxy = Some(last.server.clone());
    let Some(response) = &last.response else {
        let refused = failed.map(|(silence, at)| Finding {
            cause: if silence == Silence::Refused { Cause::UpstreamRefused } else { Cause::UpstreamUnreachable },
            answered_by: AnsweredBy::Nobody,
            by: Some(Endpoint::Ip(at)),
        });
        return refused.unwrap_or(Finding { cause: Cause::Unknown, answered_by: AnsweredBy::Nobody, by: None });
    };
    let own = upstream_seen || decided.own_page.is_some();
    let answered_by = match last.role {
        Role::Upstream => AnsweredBy::Origin,
        _ if own => AnsweredBy::Proxy,
        _ => AnsweredBy::Unknown,
    };
    if decided.denied && matches!(response.status, 401 | 403) {
        return Finding { cause: Cause::AuthRequired, answered_by: AnsweredBy::Proxy, by: proxy };
    }
    if let Some(cause) = by_status(last.request.as_ref(), response) {
        return Finding { cause, answered_by, by: proxy };
    }
    let gateway = matches!(response.status, 502 | 504)
        || response.status == 503 && decided.own_page == Some(ProductName::HaProxy);
    match failed {
        Some((silence, at)) if response.status >= 500 => Finding {
            cause: if silence == Silence::Refused { Cause::UpstreamRefused } else { Cause::UpstreamUnreachable },
            answered_by: AnsweredBy::Proxy,
            by: Some(Endpoint::Ip(at)),
        },
        // What the proxy sent may be among what was not captured.
        _ if unread || decided.denied || gateway && !upstream_seen => {
            Finding { cause: Cause::Unknown, answered_by, by: None }
        }
        _ if own && gateway => Finding { cause: Cause::UpstreamUnreachable, answered_by, by: proxy },
        _ if own => Finding { cause: Cause::NotForwarded, answered_by, by: proxy },
        _ => Finding { cause: Cause::Unknown, answered_by, by: None },
    }
}

/// Whether the 101 from upstream lacks what makes it one (RFC 9110 15.2.2, RFC 6455 4.2.2).
fn is_bare_101(attempt: &Attempt) -> bool {
    let last = attempt.path().last().and_then(|hop| hop.response.as_ref());
    last.is_some_and(|response| {
        response.status == 101
            && response.complete
            && (response.field("upgrade").is_none() || !response.has_member("connection", "upgrade"))
    })
}

/// Causes that the answer itself names.
fn by_status(request: Option<&Request>, response: &Response) -> Option<Cause> {
    match response.status {
        300..=399 => Some(Cause::Redirected),
        401 | 407 => Some(Cause::AuthRequired),
        // RFC 6455 4.4: the server lists the versions that it speaks.
        400..=499 => {
            let asked = request?.field("sec-websocket-version")?;
            let mut offered = response.list("sec-websocket-version").peekable();
            offered.peek()?;
            (!offered.any(|version| version == asked)).then_some(Cause::VersionUnsupported)
        }
        _ => None,
    }
}

fn sentence(decided: &Decided, cause: Cause, by: Option<&Endpoint>, status: Option<u16>) -> String {
    let (attempt, path) = (&decided.attempt, path(&decided.attempt));
    let got = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let who = by.map_or_else(String::new, |by| call(product_at(attempt, by).as_ref(), by));
    let origin = by.map_or_else(String::new, |by| format!("the origin at {by}"));
    let why = match cause {
        Cause::HeadersDropped => format!("{who} did not forward the upgrade"),
        Cause::Http10 => format!("{who} forwarded it as HTTP/1.0"),
        Cause::NotForwarded => format!("{who} answered by itself and forwarded nothing"),
        Cause::UpstreamRefused => format!("{origin} refused the connection"),
        Cause::UpstreamUnreachable => "nothing answered where the proxy looked for its origin".to_owned(),
        Cause::UpstreamSilent => format!("{origin} took the request and did not answer"),
        Cause::UpstreamClosed => format!("{origin} closed the connection without an answer"),
        Cause::OriginRejected => match negotiation_altered::on_the_way(decided) {
            Some(change) => {
                format!("{origin} declined a request in which the proxy had {} {}", change.what, change.field)
            }
            None => format!("{origin} got a proper upgrade request and declined it"),
        },
        Cause::Redirected => "a redirect, which browsers do not follow".to_owned(),
        Cause::AuthRequired => "authentication is required".to_owned(),
        Cause::VersionUnsupported => "the server does not speak the client's WebSocket version".to_owned(),
        Cause::RelayLost if is_bare_101(attempt) => {
            format!("the 101 from upstream has no Upgrade with Connection, and {who} did not pass it on")
        }
        Cause::RelayLost => format!("the 101 came from upstream, but {who} did not pass it on"),
        Cause::ClientMalformed => {
            let defect = attempt.first().request.as_ref().and_then(field::defect);
            format!("the client's request is no valid handshake: {}", defect.unwrap_or("it is malformed"))
        }
        Cause::Unknown if decided.claims.doubt().is_some() => "the capture leaves open why".to_owned(),
        Cause::Unknown => "the capture does not show why".to_owned(),
    };
    format!("The upgrade of {path} got {got} instead of 101: {why}.")
}
