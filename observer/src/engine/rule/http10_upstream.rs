//! `http10-upstream`: a proxy sent an upgrade on as HTTP/1.0, in which a server must ignore Upgrade (RFC 9110 7.8). Some
//! origins answer 101 all the same; then it is only a warning.

use super::{
    super::{
        alert::{Alert, Details, Level, RuleId},
        attempt::Decided,
        event::{Endpoint, Hop, HttpVersion, Outcome, Product, Request},
        handshake::field::UpgradeRequest,
    },
    alert, call_of, lone_upstream, path, sender, steps,
};

pub(super) fn check(decided: &Decided) -> Option<Alert> {
    let (request, by, product) = find(decided)?;
    let attempt = &decided.attempt;
    let broken = matches!(attempt.outcome, Outcome::Refused | Outcome::Failed);
    let level = if broken { Level::Error } else { Level::Warning };
    let message = format!(
        "{} sent the upgrade of {} upstream as HTTP/1.0, which has no upgrade{}.",
        call_of(attempt, product.as_ref(), &by),
        path(attempt),
        if attempt.outcome == Outcome::Upgraded { "; this origin answered 101 all the same" } else { "" }
    );
    let alert = alert(RuleId::Http10Upstream, level, request.at, attempt, message, Details::Http10 { by });
    Some(Alert { product, ..alert })
}

/// The first request that went upstream as HTTP/1.0, and the proxy that sent it.
pub(super) fn find(decided: &Decided) -> Option<(&Request, Endpoint, Option<Product>)> {
    if decided.denied || !decided.claims.hops.holds() {
        return None;
    }
    let attempt = &decided.attempt;
    let lowered = steps(attempt).find(|step| {
        step.before.is_upgrade()
            && !step.before.is_offer()
            && step.before.version == HttpVersion::Http11
            && step.after.version == HttpVersion::Http10
    });
    if let Some(step) = lowered {
        return Some((step.after, step.down.server.clone(), step.down.product.clone()));
    }
    let (hop, request): (&Hop, _) = lone_upstream(decided)?;
    let keyed = request.key().is_some() && !request.may_come_from_http2();
    let upgrade = request.is_upgrade() && !request.is_offer() || keyed;
    let old = request.version == HttpVersion::Http10 && upgrade && decided.claims.main.holds();
    old.then(|| (request, hop.client.clone(), sender(hop)))
}
