//! Causes between a proxy and its origin: no connection, or no answer.

use super::{
    super::super::{
        alert::{AnsweredBy, Cause},
        event::{Endpoint, Hop, Silence},
    },
    seen::{AtProxy, Finding, Seen},
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
        Silence::ClosedByServer => (Cause::UpstreamClosed, format!("{at} closed the connection without an answer")),
        // A proxy that had waited too long gives that connection up: otherwise the end was not captured.
        Silence::Waiting if !is_waiting(seen.client()) => return None,
        Silence::Waiting | Silence::ClosedByClient => {
            (Cause::UpstreamSilent, format!("{at} took the request and did not answer"))
        }
        Silence::NotCaptured => return None,
    };
    Some(seen.at_last(cause, why))
}

/// The proxy had no connection to send it on.
fn unconnected(seen: &Seen<'_>, proxy: &AtProxy<'_>) -> Option<Finding> {
    let status = proxy.hop.response.as_ref().map(|response| response.status);
    if let Some((silence, at)) = proxy.failed.filter(|_| status.is_none_or(|status| status >= 500)) {
        let (cause, why) = match silence {
            Silence::Refused => (Cause::UpstreamRefused, format!("the origin at {at} refused the connection")),
            _ => (Cause::UpstreamUnreachable, UNREACHABLE.to_owned()),
        };
        let answered_by = if status.is_some() { AnsweredBy::Proxy } else { AnsweredBy::Nobody };
        return Some(Finding { cause, answered_by, by: Some(Endpoint::Ip(at)), why, facts: Vec::new() });
    }
    let tried = proxy.upstream_seen && seen.decided.claims.all_seen.holds() && !seen.decided.denied;
    (tried && seen.is_gateway_error(proxy)).then(|| seen.at_last(Cause::UpstreamUnreachable, UNREACHABLE.to_owned()))
}

const UNREACHABLE: &str = "nothing answered where the proxy looked for its origin";

/// Whether nobody but the client has ended a hop without an answer.
fn is_waiting(hop: &Hop) -> bool {
    matches!(hop.silence, Some(Silence::Waiting | Silence::ClosedByClient))
}
