//! `upgrade-injected`: a proxy with hard-coded Upgrade and Connection fields turns ordinary requests into upgrades.

use super::{
    super::{
        alert::{Alert, Details, Level, RuleId},
        attempt::Decided,
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
