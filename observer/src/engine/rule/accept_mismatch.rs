//! `accept-mismatch`: the Sec-WebSocket-Accept of a 101 is not that of the request's key (RFC 6455 4.2.2), so that every
//! browser fails the connection.

use super::{
    super::{
        alert::{Alert, Details, Level, RuleId},
        attempt::Decided,
        event::{Confidence, Fields, Hop},
        handshake::field::{self, UpgradeRequest},
    },
    alert,
};

pub(super) fn check(decided: &Decided) -> Option<Alert> {
    let attempt = &decided.attempt;
    // The hop nearest to the origin that is wrong is where it began. Where the hops may be another's, all are to be.
    let wrong: Vec<_> = attempt.path().filter_map(mismatch).collect();
    let is_guessed = attempt.join.is_some_and(|join| join.confidence == Confidence::Ambiguous);
    if is_guessed && wrong.len() < attempt.path().count() {
        return None;
    }
    let (hop, expected, received) = wrong.into_iter().next_back()?;
    let at = hop.response.as_ref()?.at;
    let message = format!(
        "{} answered the key of {} with {}; clients refuse such a 101.",
        hop.server,
        hop.client,
        received
            .as_deref()
            .map_or_else(|| "no Sec-WebSocket-Accept".to_owned(), |_| "a wrong Sec-WebSocket-Accept".to_owned())
    );
    let by = hop.server.clone();
    let product = hop.product.clone();
    let details = Details::Accept { expected, received, by };
    let alert = alert(RuleId::AcceptMismatch, Level::Error, at, attempt, message, details);
    Some(Alert { product, ..alert })
}

/// The expected and the received value of a hop's 101, where they differ.
fn mismatch(hop: &Hop) -> Option<(&Hop, String, Option<String>)> {
    let (request, response) = (hop.request.as_ref()?, hop.response.as_ref()?);
    if response.status != 101 || !request.complete || !response.complete || !request.has_member("upgrade", "websocket")
    {
        return None;
    }
    let expected = field::accept(request.key()?);
    let received = response.field("sec-websocket-accept").map(str::to_owned);
    (received.as_deref() != Some(&expected)).then_some((hop, expected, received))
}
