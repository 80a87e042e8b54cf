//! `upgrade-headers-dropped`: a proxy got Upgrade and `Connection: upgrade` and sent the request on without one of them.
//!
//! Both fields are for one hop (RFC 9110 7.6.1, 7.8): a proxy must take them away unless it is configured to forward the
//! upgrade. Sec-WebSocket-Key is for both ends, so a key without the pair tells of the same even when only the upstream
//! side was seen.

use super::{
    super::{
        alert::{Alert, Details, Level, RuleId, Sent},
        attempt::Decided,
        event::{Attempt, Endpoint, Fields, Outcome, Product, Request},
        handshake::field::UpgradeRequest,
        time::Timestamp,
    },
    alert, call_of, lone_upstream, path, sender, steps,
};

/// What was dropped, and where.
pub(super) struct Drop {
    pub(super) fields: Vec<&'static str>,
    pub(super) by: Endpoint,
    pub(super) product: Option<Product>,
    at: Timestamp,
    sent: Sent,
}

pub(super) fn check(decided: &Decided) -> Option<Alert> {
    let attempt = &decided.attempt;
    let drop = find(decided)?;
    // No origin switches protocols for a request without Upgrade, whether its answer was captured or not (RFC 9110 7.8).
    let hopeless = attempt.outcome == Outcome::Unknown && drop.fields.contains(&"Upgrade");
    let broken = hopeless || matches!(attempt.outcome, Outcome::Refused | Outcome::Failed);
    let level = if broken { Level::Error } else { Level::Warning };
    let message = format!(
        "{} is not configured to forward the upgrade of {}: it sent the request upstream {}.",
        call_of(attempt, drop.product.as_ref(), &drop.by),
        path(attempt),
        instead(&drop)
    );
    let details = Details::HeadersDropped { dropped: drop.fields, by: drop.by, sent: drop.sent };
    let alert = alert(RuleId::UpgradeHeadersDropped, level, drop.at, attempt, message, details);
    Some(Alert { product: drop.product, ..alert })
}

/// What was sent in place of the pair.
fn instead(drop: &Drop) -> String {
    let field = |name: &str, value: &Option<String>| match value {
        Some(value) => format!("with `{name}: {value}`"),
        None => format!("without {name}"),
    };
    let told = drop.fields.iter().map(|name| match *name {
        "Upgrade" => field(name, &drop.sent.upgrade),
        name => field(name, &drop.sent.connection),
    });
    told.collect::<Vec<_>>().join(" and ")
}

/// The first step on which a field was dropped.
pub(super) fn find(decided: &Decided) -> Option<Drop> {
    let attempt: &Attempt = &decided.attempt;
    if decided.denied || !decided.claims.hops.holds() {
        return None;
    }
    let on_the_way = steps(attempt).find_map(|step| {
        let fields = dropped(step.before, step.after);
        let product = step.down.product.clone();
        (!fields.is_empty()).then(|| Drop {
            fields,
            by: step.down.server.clone(),
            product,
            at: step.after.at,
            sent: sent(step.after),
        })
    });
    on_the_way.or_else(|| before_the_first(decided))
}

/// What a request lacks that the one before had. An offer (h2c) may be declined by anyone on the way.
fn dropped(before: &Request, after: &Request) -> Vec<&'static str> {
    if !before.complete || !after.complete || !before.is_upgrade() || before.is_offer() {
        return Vec::new();
    }
    let kept = before.list("upgrade").any(|token| after.has_member("upgrade", token));
    let mut fields = Vec::new();
    if !kept {
        fields.push("Upgrade");
    }
    if !after.has_connection_upgrade() {
        fields.push("Connection");
    }
    fields
}

/// The client's side was not seen: a key without the pair. That the client sent the pair is an assumption, which does not
/// stand where it may have spoken HTTP/2, or where the proxy forwarded the upgrade of another client.
fn before_the_first(decided: &Decided) -> Option<Drop> {
    let (hop, request) = lone_upstream(decided)?;
    let assumed = !request.may_come_from_http2() && decided.near.succeeded.is_none();
    if !request.complete || !decided.claims.main.holds() || request.key().is_none() || !assumed {
        return None;
    }
    let mut fields = Vec::new();
    if !request.has_upgrade() {
        fields.push("Upgrade");
    }
    if !request.has_connection_upgrade() {
        fields.push("Connection");
    }
    let by = hop.client.clone();
    (!fields.is_empty()).then(|| Drop { fields, by, product: sender(hop), at: request.at, sent: sent(request) })
}

/// What a proxy sent of the fields that matter.
pub(super) fn sent(request: &Request) -> Sent {
    Sent { version: request.version, upgrade: request.joined("upgrade"), connection: request.joined("connection") }
}
