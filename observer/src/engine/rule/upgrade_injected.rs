//! `upgrade-injected`: a proxy with hard-coded Upgrade and Connection fields turns ordinary requests into upgrades.

use super::{
    super::{
        alert::{Alert, Details, Level, RuleId},
        attempt::Decided,
        event::Request,
        handshake::field::UpgradeRequest,
    },
    Step, alert, call, path, steps,
    upgrade_headers_dropped::sent,
};

pub(super) fn check(decided: &Decided) -> Option<Alert> {
    if !decided.claims.hops.holds() {
        return None;
    }
    connection_only(decided).or_else(|| both(decided))
}

/// Both fields were added.
fn both(decided: &Decided) -> Option<Alert> {
    let step = steps(&decided.attempt)
        .find(|step| step.before.complete && is_plain(step.before) && step.after.is_upgrade())?;
    let what = format!(
        "turns ordinary requests for {} into upgrades: its Upgrade and Connection fields are hard-coded",
        path(&decided.attempt)
    );
    Some(injected(decided, &step, Level::Error, &what))
}

/// `Connection: upgrade` alone was added, and the origin declined the request: servers that take it for an upgrade without a
/// protocol answer 400 (RFC 9110 7.8 lets them ignore it).
fn connection_only(decided: &Decided) -> Option<Alert> {
    let attempt = &decided.attempt;
    let step = steps(attempt).find(|step| {
        let added = step.after.has_connection_upgrade() && !step.before.has_connection_upgrade();
        step.before.complete && added && is_plain(step.before) && is_plain(step.after)
    })?;
    let status = attempt.path().last()?.response.as_ref()?.status;
    let relayed = attempt.first().response.as_ref().is_some_and(|response| response.status == status);
    let declined = relayed && matches!(status, 400 | 426 | 501);
    let what = format!(
        "adds `Connection: upgrade` to ordinary requests for {}, and the origin at {} answers {status}",
        path(attempt),
        step.up.server
    );
    declined.then(|| injected(decided, &step, Level::Warning, &what))
}

/// Whether a request names no other protocol.
fn is_plain(request: &Request) -> bool {
    !request.has_upgrade() && request.key().is_none()
}

fn injected(decided: &Decided, step: &Step<'_>, level: Level, what: &str) -> Alert {
    let (by, product) = (step.down.server.clone(), step.down.product.clone());
    let message = format!("{} {what}.", call(product.as_ref(), &by));
    let details = Details::Injected { by, sent: sent(step.after) };
    let alert = alert(RuleId::UpgradeInjected, level, step.after.at, &decided.attempt, message, details);
    Alert { product, ..alert }
}
