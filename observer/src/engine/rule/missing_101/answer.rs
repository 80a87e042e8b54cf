//! Causes that the answers tell: a 101 that was lost on the way, a status that names its reason, a server that declined.

use std::time::Duration;

use super::{
    super::{
        super::{
            alert::{AnsweredBy, Cause},
            event::{Fields, Hop, HttpVersion, ProductName, Request, Response, Role, Silence},
            handshake::field::{self, UpgradeRequest},
        },
        negotiation_altered,
    },
    own,
    seen::{Finding, Seen, status},
};

/// The hops may be another attempt's. Who answered on the only hop that was seen does not depend on that.
pub(super) fn uncertain(seen: &Seen<'_>) -> Option<Finding> {
    let alone = seen.path.len() == 1 && seen.client().role == Role::Upstream;
    let answered_by = if alone { seen.relayed() } else { AnsweredBy::Unknown };
    (!seen.decided.claims.hops.holds()).then(|| Finding { answered_by, ..unknown(seen) })
}

/// A 101 came from upstream, and a proxy did not pass it on.
pub(super) fn lost(seen: &Seen<'_>) -> Option<Finding> {
    let at = seen.path.iter().skip(1).position(|hop| status(hop) == Some(101))?;
    let (down, up) = (seen.path[at], seen.path[at + 1]);
    let response = up.response.as_ref()?;
    // It came too late for a client that did not wait.
    let left = seen.client().silence == Some(Silence::ClosedByClient);
    if left && response.at + IN_TIME > seen.decided.attempt.decided_at {
        return None;
    }
    // Where the answer before it was not captured, it may have been lost before that.
    if at > 0 && down.silence == Some(Silence::NotCaptured) {
        return Some(Finding { answered_by: AnsweredBy::Unknown, ..unknown(seen) });
    }
    let who = seen.call(&down.server);
    let head = own::head_size(response, "HTTP/1.1 101 ".len() + response.reason.len());
    let is_nginx = down.product.as_ref().is_some_and(|product| product.name == ProductName::Nginx);
    let (cause, why) = if is_nginx && head > NGINX_BUFFER {
        let why =
            format!("the 101 came from upstream with a head of {head} bytes, more than the buffer of {who} by default");
        (Cause::HeadTooLarge, why)
    } else if let Some(interim) = up.interim {
        let why =
            format!("a {} came from upstream before the 101, and {who} took it for the final answer", interim.status);
        (Cause::InterimResponse, why)
    } else if seen.last().response.as_ref().is_some_and(is_bare_101) {
        let why = format!("the 101 from upstream has no Upgrade with Connection, and {who} did not pass it on");
        (Cause::RelayLost, why)
    } else {
        (Cause::RelayLost, format!("the 101 came from upstream, but {who} did not pass it on"))
    };
    let answered_by = if seen.status().is_some() { AnsweredBy::Proxy } else { AnsweredBy::Nobody };
    Some(Finding { cause, answered_by, by: Some(down.server.clone()), why, facts: Vec::new() })
}

/// A proxy that has not passed a 101 on by then will not.
const IN_TIME: Duration = Duration::from_millis(100);

/// nginx reads an answer's head into one buffer, a page of memory by default (`proxy_buffer_size`).
const NGINX_BUFFER: usize = 4096;

/// Whether a 101 lacks what makes it one (RFC 9110 15.2.2, RFC 6455 4.2.2).
fn is_bare_101(response: &Response) -> bool {
    let pair = response.field("upgrade").is_some() && response.has_member("connection", "upgrade");
    response.status == 101 && response.complete && !pair
}

/// The status tells.
pub(super) fn named_by_status(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.last();
    let response = last.response.as_ref()?;
    let denied = seen.proxy().is_some() && seen.decided.denied;
    let (cause, why) = match response.status {
        300..=399 => (Cause::Redirected, "a redirect, which browsers do not follow"),
        401 | 407 => (Cause::AuthRequired, AUTH),
        403 if denied => (Cause::AuthRequired, AUTH),
        400..=499 if is_version_unknown(last.request.as_ref()?, response) => {
            (Cause::VersionUnsupported, "the server does not speak the client's WebSocket version")
        }
        _ => return None,
    };
    let found = seen.at_last(cause, why.to_owned());
    let by_proxy = denied && cause == Cause::AuthRequired;
    Some(if by_proxy { Finding { answered_by: AnsweredBy::Proxy, ..found } } else { found })
}

const AUTH: &str = "authentication is required";

/// Whether the server lists the versions that it speaks, and the client's is not among them (RFC 6455 4.4).
fn is_version_unknown(request: &Request, response: &Response) -> bool {
    let mut spoken = response.list("sec-websocket-version").peekable();
    let asked = request.field("sec-websocket-version");
    spoken.peek().is_some() && asked.is_some_and(|asked| !spoken.any(|version| version == asked))
}

/// The origin declined a whole and valid request.
pub(super) fn rejected(seen: &Seen<'_>) -> Option<Finding> {
    let origin = seen.proxy().is_none() && seen.decided.claims.all_seen.holds() && is_proper(seen.last());
    origin.then(|| seen.at_last(Cause::OriginRejected, how_rejected(seen)))
}

/// Whether the origin got a whole and valid request, and its answer was read whole.
fn is_proper(hop: &Hop) -> bool {
    let proper = |request: &Request| {
        let whole = request.complete && request.is_upgrade() && request.version == HttpVersion::Http11;
        whole && field::defect(request).is_none()
    };
    hop.request.as_ref().is_some_and(proper) && hop.response.as_ref().is_some_and(|response| response.complete)
}

fn how_rejected(seen: &Seen<'_>) -> String {
    let origin = format!("the origin at {}", seen.last().server);
    match negotiation_altered::on_the_way(seen.decided) {
        Some(change) => {
            format!("{origin} declined a request in which the proxy had {} {}", change.what, change.field)
        }
        None => format!("{origin} got a proper upgrade request and declined it"),
    }
}

/// Nothing tells.
pub(super) fn unknown(seen: &Seen<'_>) -> Finding {
    let why = if seen.decided.claims.doubt().is_some() {
        "the capture leaves open why".to_owned()
    } else {
        own::unknown(seen).unwrap_or_else(|| "the capture does not show why".to_owned())
    };
    Finding { cause: Cause::Unknown, answered_by: seen.answered_by(), by: None, why, facts: Vec::new() }
}
