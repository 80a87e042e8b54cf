//! `mass-close`: a proxy closed several tunnels at one moment that no idle timer explains: a reload, a restart, a deploy.

use std::sync::Arc;

use super::{
    super::{
        Config,
        alert::{Alert, Details, Level, RuleId},
        attempt::{Ended, Group, MOMENT},
        event::Endpoint,
    },
    alert, call, product_at,
};

/// Whether a tunnel that a timer could explain ended in one sweep with `others` that none explains: some that were not
/// silent, or several. They are in the order of their ends.
pub(super) fn sweeps(others: &[&Ended], member: &Ended, config: &Config) -> bool {
    let at = member.tunnel.ended_at;
    let place = others.partition_point(|other| other.tunnel.ended_at < at);
    let near =
        others[place.saturating_sub(1)..].iter().take(2).any(|other| other.tunnel.ended_at.distance(at) <= MOMENT);
    near && (others.len() > 1 || others.iter().any(|other| !other.is_silent(config.idle_min)))
}

pub(super) fn check(members: &[&Ended], group: &Group) -> Alert {
    let (first, last) = (&members[0].tunnel, &members[members.len() - 1].tunnel);
    let by = Endpoint::Ip(group.by.address());
    let product = product_at(&first.attempt, &by);
    let message = format!(
        "{} closed {} tunnels at one moment, whatever their traffic: a reload or restart does that.",
        call(product.as_ref(), &by),
        members.len()
    );
    let tunnels = members.iter().map(|member| Arc::clone(&member.tunnel.attempt)).collect();
    let details = Details::MassClose { by, tunnels, within: last.ended_at.since(first.ended_at) };
    let alert = alert(RuleId::MassClose, Level::Warning, last.ended_at, &first.attempt, message, details);
    Alert { product, ..alert }
}
