//! `upgrade-injected`: a proxy with hard-coded Upgrade and Connection fields turns ordinary requests into upgrades.

use super::{
    super::{
        alert::{Alert, Details, Level, RuleId},
        attempt::Decided,
        event::Request,
        handshake::field::UpgradeRequest,
    },
    alert, call, path, steps,
    upgrade_headers_dropped::sent,
};

pub(super) fn check(decided: &Decided) -> Option<Alert> {
    if !decided.claims.hops.holds() {
        return None;
    }
    let attempt = &decided.attempt;
    if let Some(alert) = connection_only(decided) {
        return Some(alert);
    }
    let step = steps(attempt).find(|step| {
        let ordinary = !step.before.has_upgrade() && step.before.key().is_none();
        step.before.complete && ordinary && step.after.is_upgrade()
    })?;
    let by = step.down.server.clone();
    let product = step.down.product.clone();
    let message = format!(
        "{} turns ordinary requests for {} into upgrades: its Upgrade and Connection fields are hard-coded.",
        call(product.as_ref(), &by),
        path(attempt)
    );
    let details = Details::Injected { by, sent: sent(step.after) };
    let alert = alert(RuleId::UpgradeInjected, Level::Error, step.after.at, attempt, message, details);
    Some(Alert { product, ..alert })
}

/// `Connection: upgrade` alone was added, and the origin declined the request: servers that take it for an upgrade without a
/// protocol answer 400 (RFC 9110 7.8 lets them ignore it).
fn connection_only(decided: &Decided) -> Option<Alert> {
    let attempt = &decided.attempt;
    let step = steps(attempt).find(|step| {
        let plain = |request: &Request| !request.has_upgrade() && request.key().is_none();
        let added = step.after.has_connection_upgrade() && !step.before.has_connection_upgrade();
        step.before.complete && added && plain(step.before) && plain(step.after)
    })?;
    let status = attempt.path().last()?.response.as_ref()?.status;
    let relayed = attempt.first().response.as_ref().is_some_and(|response| response.status == status);
    if !relayed || !matches!(status, 400 | 426 | 501) {
        return None;
    }
    let by = step.down.server.clone();
    let product = step.down.product.clone();
    let message = format!(
        "{} adds `Connection: upgrade` to ordinary requests for {}, and the origin at {} answers {status}.",
        call(product.as_ref(), &by),
        path(attempt),
        step.up.server
    );
    let details = Details::Injected { by, sent: sent(step.after) };
    let alert = alert(RuleId::UpgradeInjected, Level::Warning, step.after.at, attempt, message, details);
    Some(Alert { product, ..alert })
}
