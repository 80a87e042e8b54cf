//! The rules: what is right or wrong about a case. One file each; every rule reads facts and accuses only on evidence.

mod abrupt_close;
mod accept_mismatch;
mod broken_101;
mod error_close;
mod http10_upstream;
mod idle_close;
mod lifetime_close;
mod mass_close;
mod missing_101;
mod mixup;
mod negotiation_altered;
mod polling_fallback;
mod upgrade_headers_dropped;
mod upgrade_injected;

use std::{fmt::Display, sync::Arc};

use super::{
    Config,
    alert::{Alert, Details, Fact, Level, RuleId},
    attempt::{Case, Decided, Ended, Group},
    event::{Attempt, Endpoint, FirstBytes, Hop, Product, Request, Role},
    handshake::field,
    product,
    time::Timestamp,
};

/// The alerts of a case, root causes first.
#[must_use]
pub fn judge(case: &Case, config: &Config) -> Vec<Alert> {
    match case {
        Case::Decided(decided) => handshake(decided, config),
        Case::Ended(ended) => tunnel(ended, config),
        Case::Closed(group) => closed(group, config),
        Case::Fallback(fallback) => vec![polling_fallback::check(fallback)],
        Case::Mixup(found) => mixup::check(found).into_iter().collect(),
        Case::Anomaly(_) => Vec::new(),
    }
}

fn handshake(decided: &Decided, config: &Config) -> Vec<Alert> {
    let mut alerts = Vec::new();
    alerts.extend(broken_101::check(decided));
    alerts.extend(upgrade_headers_dropped::check(decided));
    alerts.extend(http10_upstream::check(decided));
    alerts.extend(upgrade_injected::check(decided));
    alerts.extend(accept_mismatch::check(decided));
    alerts.extend(negotiation_altered::check(decided));
    alerts.extend(missing_101::check(decided, config));
    alerts
}

fn tunnel(ended: &Ended, config: &Config) -> Vec<Alert> {
    let timed = idle_close::check_one_sided(ended, config)
        .or_else(|| idle_close::check_server_side(ended, config))
        .or_else(|| idle_close::check_in_front(ended, config));
    if let Some(timed) = timed { vec![timed] } else { by_itself(ended, config) }
}

/// What an end that no timer explains says by itself.
fn by_itself(ended: &Ended, config: &Config) -> Vec<Alert> {
    let end = broken_101::check_end(ended)
        .or_else(|| lifetime_close::check(ended, config))
        .or_else(|| error_close::check(ended))
        .or_else(|| abrupt_close::check(ended, config));
    broken_101::check_inside(ended).into_iter().chain(end).collect()
}

/// Tunnels that a proxy closed at one moment: by its idle timer, or all together whatever they did.
fn closed(group: &Group, config: &Config) -> Vec<Alert> {
    let (timed, other): (Vec<_>, Vec<_>) =
        group.members.iter().partition(|member| idle_close::is_by_timer(member, group, config));
    let mut other: Vec<_> =
        other.into_iter().filter(|member| !member.tunnel.incomplete && member.tunnel.broken().is_none()).collect();
    let (swept, timed): (Vec<_>, Vec<_>) =
        timed.into_iter().partition(|member| mass_close::sweeps(&other, member, config));
    other.extend(swept);
    if other.len() > 1 {
        other.sort_by_key(|member| member.tunnel.ended_at);
        let mut alerts: Vec<_> = timed.into_iter().map(|member| idle_close::check(member, group)).collect();
        alerts.push(mass_close::check(&other, group));
        return alerts;
    }
    let judge = |member: &&Ended| {
        if member.is_silent(config.idle_min) {
            vec![idle_close::check(member, group)]
        } else {
            by_itself(member, config)
        }
    };
    group.members.iter().flat_map(|member| judge(&member)).collect()
}

/// A hop and the next one on the way, both with their requests: what a proxy got and what it made of it.
struct Step<'a> {
    down: &'a Hop,
    up: &'a Hop,
    before: &'a Request,
    after: &'a Request,
}

/// The steps of the forwarded request's path.
fn steps(attempt: &Attempt) -> impl Iterator<Item = Step<'_>> {
    let path: Vec<_> = attempt.path().collect();
    let pairs: Vec<_> = path.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pairs
        .into_iter()
        .filter_map(|(down, up)| Some(Step { down, up, before: down.request.as_ref()?, after: up.request.as_ref()? }))
}

/// The only hop, when it was sent by a proxy whose client side was not seen.
fn lone_upstream(decided: &Decided) -> Option<(&Hop, &Request)> {
    let hop = decided.attempt.first();
    let alone = decided.attempt.path().count() == 1 && hop.role == Role::Upstream && decided.claims.whole.holds();
    alone.then_some(hop).zip(hop.request.as_ref())
}

/// An alert about an attempt.
fn alert(
    rule: RuleId,
    level: Level,
    at: Timestamp,
    attempt: &Arc<Attempt>,
    message: String,
    details: Details,
) -> Alert {
    // Product names keep their own case.
    let message = if let Some(rest) = message.strip_prefix("the ") { format!("The {rest}") } else { message };
    Alert { rule, level, at, message, attempt: Arc::clone(attempt), product: None, details }
}

/// How the proxy of an attempt is called in a sentence: by where it listens, as far as that was seen.
fn call_of(attempt: &Attempt, product: Option<&Product>, by: &Endpoint) -> String {
    let hop = attempt.first();
    if hop.role == Role::Upstream && hop.client == *by { call_sender(hop) } else { call(product, by) }
}

/// How a proxy is called in a sentence: `nginx at 127.0.0.1:80`.
fn call(product: Option<&Product>, at: &Endpoint) -> String {
    match product {
        Some(product) => format!("{} at {at}", product.name.as_str()),
        None => format!("the proxy at {at}"),
    }
}

/// Who sent a hop whose client's side was not seen, as far as that hop shows it.
fn sender(hop: &Hop) -> Option<Product> {
    let process = hop.processes[0].as_ref().map(|process| &*process.command);
    product::sender(hop.request.as_ref()?, process)
}

/// How that proxy is called: its own port there means nothing, so by where it sent the request to.
fn call_sender(hop: &Hop) -> String {
    let name = sender(hop).map_or("the proxy", |product| product.name.as_str());
    format!("{name} before {}", hop.server)
}

/// What somebody said first, where it is quoted.
fn said(who: &impl Display, first: &FirstBytes) -> Fact {
    Fact { frame: first.frame, at: first.at, text: format!("{who} said `{}`", first.escaped()) }
}

/// The path that the client asked for, without its query.
fn path(attempt: &Attempt) -> &str {
    attempt.first().request.as_ref().map_or("", |request| field::path(&request.target))
}

/// The product at an endpoint, where the attempt shows it.
fn product_at(attempt: &Attempt, endpoint: &Endpoint) -> Option<Product> {
    let first = attempt.first();
    let at = attempt.hops.iter().find(|hop| hop.server == *endpoint);
    at.and_then(|hop| hop.product.clone())
        .or_else(|| sender(first).filter(|_| first.role == Role::Upstream && first.client == *endpoint))
}
