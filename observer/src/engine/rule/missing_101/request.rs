//! Causes in the request: what the client sent, or what a proxy made of it.

use super::{
    super::{
        super::{
            alert::{AnsweredBy, Cause, Fact},
            event::{Attempt, Endpoint, Fields, ProductName, Request, Role, Silence},
            handshake::field::{self, UpgradeRequest},
        },
        Step, http10_upstream, steps, upgrade_headers_dropped,
    },
    seen::{Finding, Seen, status},
};

/// A proxy did not forward Upgrade or Connection.
pub(super) fn headers_dropped(seen: &Seen<'_>) -> Option<Finding> {
    let drop = upgrade_headers_dropped::find(seen.decided)?;
    let why = format!("{} did not forward the upgrade", seen.call(&drop.by));
    Some(Finding {
        cause: Cause::HeadersDropped,
        answered_by: seen.relayed(),
        by: Some(drop.by),
        why,
        facts: Vec::new(),
    })
}

/// A proxy that does not forward an upgrade whose request has a body: HAProxy drops Upgrade then.
pub(super) fn body_not_allowed(seen: &Seen<'_>) -> Option<Finding> {
    let drop = upgrade_headers_dropped::find(seen.decided)?;
    let has_body = |request: &Request| {
        request.field("content-length").is_some_and(|length| length != "0")
            || request.field("transfer-encoding").is_some()
    };
    let dropper = seen.path.iter().find(|hop| hop.server == drop.by)?;
    let is_known = dropper.product.as_ref().is_some_and(|it| it.name == ProductName::HaProxy);
    let with_body =
        has_body(seen.request) && (is_known || dropper.candidates.iter().any(|it| it == ProductName::HaProxy));
    with_body.then(|| {
        let why = format!("{} does not forward the upgrade of a request with a body", seen.call(&drop.by));
        let (cause, answered_by) = (Cause::BodyNotAllowed, seen.relayed());
        Finding { cause, answered_by, by: Some(drop.by), why, facts: Vec::new() }
    })
}

/// Only the hop behind a proxy was seen, and its client may have spoken HTTP/2: nobody dropped what was not there.
pub(super) fn never_asked(seen: &Seen<'_>) -> Option<Finding> {
    seen.request.may_come_from_http2().then(|| Finding {
        cause: Cause::Unknown,
        answered_by: seen.relayed(),
        by: None,
        why: "the request has no Upgrade, and its names are in lower case: the client probably spoke HTTP/2 with the \
              proxy, where there is no Upgrade"
            .to_owned(),
        facts: Vec::new(),
    })
}

/// A proxy sent a field twice that may come once only, and the origin declined. RFC 9112 3.2 has it refuse two Hosts.
pub(super) fn field_doubled(seen: &Seen<'_>) -> Option<Finding> {
    const SINGLE: [&str; 5] = ["Host", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Origin"];
    let lines = |request: &Request, name: &str| {
        request.lines().iter().filter(|line| line.name.eq_ignore_ascii_case(name)).count()
    };
    let doubled = |step: &Step<'_>| {
        let is_doubled = |name: &&str| lines(step.before, name) < 2 && lines(step.after, name) > 1;
        SINGLE.into_iter().find(is_doubled).filter(|_| step.before.complete)
    };
    let (by, name) = changed(seen, doubled)?;
    let why = format!("{} sent {name} twice, and {}", seen.call(by), declined(seen)?);
    Some(Finding {
        cause: Cause::FieldDoubled,
        answered_by: seen.relayed(),
        by: Some(by.clone()),
        why,
        facts: Vec::new(),
    })
}

/// A proxy sent the request on without its query, and the origin declined.
pub(super) fn query_lost(seen: &Seen<'_>) -> Option<Finding> {
    let query = |request: &Request| request.target.len() > field::path(&request.target).len() + 1;
    let lost = |step: &Step<'_>| {
        let same = field::tail(&step.before.target) == field::tail(&step.after.target);
        (same && query(step.before) && !query(step.after)).then_some(())
    };
    let (by, ()) = changed(seen, lost)?;
    let why = format!("{} sent it on without its query, and {}", seen.call(by), declined(seen)?);
    Some(Finding { cause: Cause::QueryLost, answered_by: seen.relayed(), by: Some(by.clone()), why, facts: Vec::new() })
}

/// A proxy spelled the names of fields otherwise, and the origin declined, though it took the usual spelling before.
pub(super) fn spelling_changed(seen: &Seen<'_>) -> Option<Finding> {
    let (by, (before, after)) = changed(seen, spelling)?;
    let taken = seen.decided.near.at_origin.as_ref()?.first();
    let request = taken.request.as_ref().filter(|request| has_line(request, before))?;
    let origin = &seen.last().server;
    let why = format!("{} sent `{before}` as `{after}`, and {}", seen.call(by), declined(seen)?);
    let text = format!("{origin} took an upgrade with `{before}`");
    let facts = vec![Fact { frame: request.frame, at: request.at, text }];
    let (cause, answered_by) = (Cause::SpellingChanged, seen.relayed());
    Some(Finding { cause, answered_by, by: Some(by.clone()), why, facts })
}

/// A name of the handshake that a proxy spelled otherwise, before and after.
fn spelling<'a>(step: &Step<'a>) -> Option<(&'a str, &'a str)> {
    let (before, after) = (step.before, step.after);
    before.lines().iter().filter(|line| line.name.starts_with("Sec-WebSocket-")).find_map(|line| {
        let sent = after.lines().iter().find(|sent| sent.name.eq_ignore_ascii_case(&line.name))?;
        (sent.name != line.name && !has_line(after, &line.name)).then_some((&*line.name, &*sent.name))
    })
}

/// Whether a request has a field in this very spelling.
fn has_line(request: &Request, name: &str) -> bool {
    request.lines().iter().any(|line| &*line.name == name)
}

/// What to add where an origin did not take a request that differs in spelling from the client's.
pub(super) fn spelling_note(seen: &Seen<'_>) -> String {
    match changed(seen, spelling) {
        Some((by, (before, after))) => format!(
            "; {} had sent `{before}` as `{after}`, which is the same (RFC 9110 5.1), but some servers care",
            seen.call(by)
        ),
        None => String::new(),
    }
}

/// The proxy that changed the request in a way, and how. None where an upgrade that was changed so as well got its 101.
fn changed<'a, T>(seen: &Seen<'a>, how: impl Fn(&Step<'a>) -> Option<T>) -> Option<(&'a Endpoint, T)> {
    let find = |attempt: &'a Attempt| steps(attempt).find_map(|step| Some((&step.down.server, how(&step)?)));
    let succeeded = seen.decided.near.succeeded.as_deref();
    let refuted = succeeded.is_some_and(|attempt| find(attempt).is_some());
    find(&seen.decided.attempt).filter(|_| seen.is_forwarded() && !refuted)
}

/// How the origin declined; nothing where it did not, or where its answer was not read.
fn declined(seen: &Seen<'_>) -> Option<String> {
    let last = seen.last();
    let origin = &last.server;
    match (status(last), last.silence) {
        (Some(status @ 400..=499), _) => Some(format!("the origin at {origin} answered {status}")),
        (None, Some(Silence::ClosedByServer)) => Some(format!("the origin at {origin} closed without an answer")),
        _ => None,
    }
}

/// The origin refused a session that another one had taken.
pub(super) fn not_sticky(seen: &Seen<'_>) -> Option<Finding> {
    let session = seen.decided.near.session.filter(|_| seen.is_forwarded() && status(seen.last()) == Some(400))?;
    let by = seen.path.iter().rev().nth(1).map(|hop| hop.server.clone())?;
    let text = format!("a request of the same session that {} took", session.server);
    let facts = vec![Fact { frame: session.shown.0, at: session.shown.1, text }];
    let who = seen.call(&by);
    let why = format!("{who} sent it to {}, but its session is one of {}", seen.last().server, session.server);
    Some(Finding { cause: Cause::NotSticky, answered_by: seen.relayed(), by: Some(by), why, facts })
}

/// A request of the proxy's own was declined, and the proxy failed because of that.
pub(super) fn side_request_failed(seen: &Seen<'_>) -> Option<Finding> {
    let by = &seen.proxy().filter(|_| seen.decided.denied && seen.status() == Some(500))?.hop.server;
    let mut sides = seen.decided.attempt.hops.iter().filter(|hop| hop.role == Role::Side);
    let (side, asked, got) = sides.find_map(|hop| Some((hop, hop.request.as_ref()?, status(hop)?)))?;
    let inherits = if asked.has_upgrade() { ", which has the client's Upgrade," } else { "" };
    let path = field::path(&asked.target);
    let why = format!("the request of {} for {path}{inherits} was answered {got} by {}", seen.call(by), side.server);
    let why = format!("{why}, and what the client asked for was never forwarded");
    let (cause, answered_by) = (Cause::SideRequestFailed, AnsweredBy::Proxy);
    Some(Finding { cause, answered_by, by: Some(by.clone()), why, facts: Vec::new() })
}

/// The client's request is no valid handshake, and no proxy has mended it: then that is not why the origin declined it.
pub(super) fn malformed(seen: &Seen<'_>) -> Option<Finding> {
    let defect = field::defect(seen.request)?;
    let is_mended = seen.last().request.as_ref().is_some_and(|last| last.complete && field::defect(last).is_none());
    (!is_mended).then(|| Finding {
        cause: Cause::ClientMalformed,
        answered_by: seen.relayed(),
        by: Some(seen.client().client.clone()),
        why: format!("the client's request is no valid handshake: {defect}"),
        facts: Vec::new(),
    })
}

/// A proxy sent the request on as HTTP/1.0, and the origin declined it.
pub(super) fn http10(seen: &Seen<'_>) -> Option<Finding> {
    let (_, by, _) =
        http10_upstream::find(seen.decided).filter(|_| seen.is_forwarded() && seen.last().response.is_some())?;
    let why = format!("{} forwarded it as HTTP/1.0", seen.call(&by));
    Some(Finding { cause: Cause::Http10, answered_by: seen.relayed(), by: Some(by), why, facts: Vec::new() })
}
