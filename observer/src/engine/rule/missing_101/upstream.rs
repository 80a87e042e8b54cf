//! Causes between a proxy and its origin: no connection, or no answer.

use std::time::Duration;

use super::{
    super::super::{
        alert::{AnsweredBy, Cause, Fact},
        attempt::{Checks, Refused, Sighting},
        event::{Endpoint, Hop, ProductName, Role, Silence},
        time::Timestamp,
    },
    request::spelling_note,
    seen::{AtProxy, Finding, Seen, status},
};

/// The origin refused the connection, could not be reached, said nothing or hung up.
pub(super) fn failed(seen: &Seen<'_>) -> Option<Finding> {
    match seen.proxy() {
        Some(proxy) => unconnected(seen, &proxy),
        None if seen.last().response.is_none() => unanswered(seen),
        None => None,
    }
}

/// The request went to the origin, and no answer came.
fn unanswered(seen: &Seen<'_>) -> Option<Finding> {
    let origin = seen.last();
    let at = format!("the origin at {}", origin.server);
    let (cause, why) = match origin.silence? {
        Silence::Refused => (Cause::UpstreamRefused, format!("{at} refused the connection")),
        Silence::Unreachable => (Cause::UpstreamUnreachable, UNREACHABLE.to_owned()),
        Silence::ClosedByServer => {
            (Cause::UpstreamClosed, format!("{at} closed the connection without an answer{}", spelling_note(seen)))
        }
        // A proxy that had waited too long gives that connection up: otherwise the end was not captured.
        Silence::Waiting if !is_waiting(seen.client()) => return None,
        Silence::Waiting | Silence::ClosedByClient => {
            (Cause::UpstreamSilent, format!("{at} took the request and did not answer"))
        }
        Silence::NotCaptured | Silence::NotHttp => return None,
    };
    Some(seen.at_last(cause, why))
}

/// The proxy had no connection to send it on.
fn unconnected(seen: &Seen<'_>, proxy: &AtProxy<'_>) -> Option<Finding> {
    let status = status(proxy.hop);
    if let Some((silence, at)) = proxy.failed.filter(|_| status.is_none_or(|status| status >= 500)) {
        let (cause, why) = match silence {
            Silence::Refused => (Cause::UpstreamRefused, format!("the origin at {at} refused the connection")),
            _ => (Cause::UpstreamUnreachable, UNREACHABLE.to_owned()),
        };
        let answered_by = if status.is_some() { AnsweredBy::Proxy } else { AnsweredBy::Nobody };
        return Some(Finding { cause, answered_by, by: Some(Endpoint::Ip(at)), why, facts: Vec::new() });
    }
    let is_gateway = matches!(status, Some(502..=504));
    let whole = seen.decided.claims.all_seen.holds() && !seen.decided.denied;
    let causes = [http2, checks_failing, none_alive, stale_address, no_connection];
    let find = || causes.iter().find_map(|cause| cause(seen, proxy));
    if is_gateway && whole { find() } else { None }
}

/// The proxy spoke HTTP/2 with a server while the client waited, and nothing else went upstream.
fn http2(seen: &Seen<'_>, _: &AtProxy<'_>) -> Option<Finding> {
    let Sighting { server, shown } = seen.decided.near.http2?;
    let server = Endpoint::Ip(server);
    let proxy = seen.call(&seen.last().server);
    let why = format!("{proxy} speaks HTTP/2 with {server}, which takes no upgrade over it (RFC 8441)");
    let text = format!("an HTTP/2 connection of the proxy's host to {server} while the client waited");
    let facts = vec![fact(shown, text)];
    Some(Finding { cause: Cause::Http2Upstream, answered_by: AnsweredBy::Proxy, by: Some(server), why, facts })
}

/// Requests of the proxy's own to a server are all declined: it takes that server for dead.
fn checks_failing(seen: &Seen<'_>, _: &AtProxy<'_>) -> Option<Finding> {
    let Checks { server, request, status, count, shown } = seen.decided.near.checks.as_ref()?;
    let server = Endpoint::Ip(*server);
    let proxy = seen.call(&seen.last().server);
    let why = format!("{proxy} takes {server} for dead: its health checks get {status}");
    let facts = vec![fact(*shown, format!("`{request}` to {server}, {count} times, the last one answered {status}"))];
    Some(Finding { cause: Cause::ChecksFailing, answered_by: AnsweredBy::Proxy, by: Some(server), why, facts })
}

/// The proxy answered at once, after its connections had failed a moment before.
fn none_alive(seen: &Seen<'_>, proxy: &AtProxy<'_>) -> Option<Finding> {
    // nginx answers 503 where a limit is met, others where no server is left.
    let product = proxy.hop.product.as_ref().map(|product| product.name);
    if status(proxy.hop) == Some(503) && product.is_none_or(|name| name == ProductName::Nginx) {
        return None;
    }
    let near = &seen.decided.near;
    let newest = near.refused.first().filter(|_| seen.decided.waited < AT_ONCE)?;
    // A server that took an upgrade since then is alive.
    let alive = near.succeeded.as_ref().is_some_and(|attempt| attempt.decided_at > newest.at);
    let text = |refused: &Refused| {
        let how = if refused.silence == Silence::Refused { "refused the connection" } else { "did not answer" };
        fact((0, refused.at), format!("{} {how}", refused.server))
    };
    (!alive).then(|| Finding {
        cause: Cause::NoLiveUpstream,
        answered_by: AnsweredBy::Proxy,
        by: Some(Endpoint::Ip(newest.server)),
        why: format!(
            "{} has put its origins out of use for a while, as they had just refused connections, and tried none",
            seen.call(&seen.last().server)
        ),
        facts: near.refused.iter().map(text).collect(),
    })
}

/// The proxy waited for something that the capture does not show, and the route's origin was elsewhere before.
fn stale_address(seen: &Seen<'_>, proxy: &AtProxy<'_>) -> Option<Finding> {
    let before = seen.decided.near.succeeded.as_ref().filter(|_| seen.decided.waited >= AT_ONCE)?;
    let origin = before.path().last().filter(|hop| hop.role == Role::Upstream)?;
    let shown = origin.request.as_ref().map_or((0, before.decided_at), |request| (request.frame, request.at));
    let at = &origin.server;
    let who = seen.call(&proxy.hop.server);
    Some(Finding {
        cause: Cause::StaleAddress,
        answered_by: AnsweredBy::Proxy,
        by: Some(at.clone()),
        why: format!("{who} reached no origin; earlier upgrades of this path went to {at}, where nothing answered now"),
        facts: vec![fact(shown, format!("an upgrade of this path that went to {at}, and succeeded"))],
    })
}

/// The capture shows what the proxy sends upstream, and nothing was sent.
fn no_connection(seen: &Seen<'_>, proxy: &AtProxy<'_>) -> Option<Finding> {
    if !proxy.upstream_seen || !seen.is_gateway_error(proxy) {
        return None;
    }
    let who = seen.call(&proxy.hop.server);
    let why = format!(
        "{who} opened no TCP connection for it: a name that does not resolve, a unix socket that nobody serves, or an origin \
         that it takes for dead"
    );
    Some(seen.at_last(Cause::NoTcpUpstream, why))
}

fn fact((frame, at): (u64, Timestamp), text: String) -> Fact {
    Fact { frame, at, text }
}

/// A proxy that answers sooner has not waited for a connection.
const AT_ONCE: Duration = Duration::from_millis(900);
const UNREACHABLE: &str = "nothing answered where the proxy looked for its origin";

/// Whether nobody but the client has ended a hop without an answer.
fn is_waiting(hop: &Hop) -> bool {
    matches!(hop.silence, Some(Silence::Waiting | Silence::ClosedByClient))
}
