//! `broken-101`: a 101 reached the client, but it cannot be used: it lacks Upgrade or `Connection: upgrade` (RFC 9110
//! 15.2.2, RFC 6455 4.1), or confirms none of the subprotocols that the client offered, which browsers take for a failure.

use std::time::Duration;

use super::{
    super::{
        alert::{Alert, Details, Fault, Level, RuleId},
        attempt::{Decided, Ended},
        event::{Attempt, ClosedBy, Endpoint, Fields, Hop, Outcome, Product, Response, Role},
    },
    alert, call, path, product_at,
};

/// A client that leaves sooner had no use for its tunnel.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Once the attempt is decided: what the client's own 101 lacks.
pub(super) fn check(decided: &Decided) -> Option<Alert> {
    let attempt = &decided.attempt;
    let field = missing(attempt)?;
    let by = sender(attempt, |response| lacks(response, field));
    let product = product_at(attempt, &by);
    let path = path(attempt);
    let who = who(attempt, &by, product.as_ref());
    let taken = attempt.path().last().is_some_and(|hop| hop.server != by);
    let how = if taken { "took it away from" } else { "left it out of" };
    let message =
        format!("The 101 for {path} that the client got has no {field}, so that it is no use: {who} {how} it.");
    let details = Details::Broken { by, fault: Fault::FieldMissing(field) };
    let alert = alert(RuleId::Broken101, Level::Error, attempt.decided_at, attempt, message, details);
    Some(Alert { product, ..alert })
}

/// What the client's 101 lacks.
pub(super) fn missing(attempt: &Attempt) -> Option<&'static str> {
    // Whom the 101 of a lone hop reached is not known: a proxy may have made an error of it.
    let reached = attempt.outcome == Outcome::Upgraded && attempt.path().count() > 1;
    let response = attempt.first().response.as_ref().filter(|_| reached)?;
    ["Upgrade", "Connection"].into_iter().find(|field| lacks(response, field))
}

fn lacks(response: &Response, field: &str) -> bool {
    response.complete
        && match field {
            "Upgrade" => response.field("upgrade").is_none(),
            _ => !response.has_member("connection", "upgrade"),
        }
}

/// Who sent an answer first that is wrong so: the last server of those whose answers are, client first.
fn sender(attempt: &Attempt, is_wrong: impl Fn(&Response) -> bool) -> Endpoint {
    let wrong = |hop: &&Hop| hop.response.as_ref().is_some_and(&is_wrong);
    attempt.path().take_while(wrong).last().unwrap_or(attempt.first()).server.clone()
}

/// An origin, or a proxy, as it is called.
fn who(attempt: &Attempt, by: &Endpoint, product: Option<&Product>) -> String {
    let is_last = attempt.path().last().is_some_and(|hop| hop.server == *by);
    if is_last && attempt.path().count() > 1 { format!("the origin at {by}") } else { call(product, by) }
}

/// Once the tunnel has ended: another answer came inside it.
pub(super) fn check_inside(ended: &Ended) -> Option<Alert> {
    let tunnel = &ended.tunnel;
    let attempt = &tunnel.attempt;
    let broken = tunnel.hops.first()?.as_ref()?.broken.as_ref().filter(|broken| !broken.from_client)?;
    let status = broken.first.status()?;
    let by = attempt.first().server.clone();
    let product = product_at(attempt, &by);
    let why = if is_fan_out(attempt) { ": it had sent the request to several servers" } else { "" };
    let message = format!(
        "{} sent a second answer, {status}, into the open tunnel of {}{why}.",
        call(product.as_ref(), &by),
        path(attempt)
    );
    let details = Details::Broken { by, fault: Fault::AnsweredTwice { status, frame: broken.first.frame } };
    let alert = alert(RuleId::Broken101, Level::Error, broken.first.at, attempt, message, details);
    Some(Alert { product, ..alert })
}

/// Whether the request went to several servers beside each other: in a chain, whoever stands behind answers before the client
/// has its answer, and on the way of the request.
fn is_fan_out(attempt: &Attempt) -> bool {
    let first = attempt.first();
    let Some(answered) = first.response.as_ref().map(|response| response.at) else { return false };
    attempt.hops.iter().skip(1).any(|hop| {
        let beside = matches!(hop.role, Role::Side | Role::Retry);
        let is_101 = |response: &&Response| response.status == 101;
        let late = |response: &Response| hop.clock == first.clock && response.at > answered;
        hop.response.as_ref().filter(is_101).is_some_and(|response| beside || late(response))
    })
}

/// Once the tunnel has ended: the client left at once, and none of its subprotocols was confirmed.
pub(super) fn check_end(ended: &Ended) -> Option<Alert> {
    let tunnel = &ended.tunnel;
    let attempt = &tunnel.attempt;
    let hop = attempt.first();
    let (request, response) = (hop.request.as_ref()?, hop.response.as_ref()?);
    let offered = request.joined("sec-websocket-protocol")?;
    // An offer that a proxy took away cannot be confirmed.
    let passed_on = |hop: &Hop| hop.request.as_ref().is_some_and(|up| up.field("sec-websocket-protocol").is_some());
    let whole = request.complete && response.complete && !tunnel.still_open && attempt.path().all(passed_on);
    let confirmed = attempt.path().any(|hop| {
        let answer = hop.response.as_ref();
        answer.is_none_or(|response| !response.complete || response.field("sec-websocket-protocol").is_some())
    });
    let left = tunnel.closed_by == ClosedBy::Client && tunnel.ended_at.since(tunnel.opened_at) < AT_ONCE;
    if !whole || confirmed || !left {
        return None;
    }
    let by = sender(attempt, |_| true);
    let product = product_at(attempt, &by);
    let message = format!(
        "The client offered subprotocols for {}, the 101 of {} confirms none of them, and the client left at once.",
        path(attempt),
        who(attempt, &by, product.as_ref())
    );
    let details = Details::Broken { by, fault: Fault::Unconfirmed { offered } };
    // A proxy that was not captured may have taken the offer away.
    let level = if attempt.path().count() > 1 { Level::Warning } else { Level::Notice };
    let alert = alert(RuleId::Broken101, level, tunnel.ended_at, attempt, message, details);
    Some(Alert { product, ..alert })
}
