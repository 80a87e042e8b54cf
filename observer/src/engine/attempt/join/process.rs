//! Hops that nothing ties but the process that holds both.

use std::time::Duration;

use super::{
    super::store::{Store, may_follow},
    SEARCHED,
    fit::{differ, forwarded_for, may_have_passed_on},
};
use crate::engine::{handshake::Handshake, http::UpgradeId};

/// On which side of a proxy a handshake is.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Down,
    Up,
}

/// The handshake on the other side of the process that holds `id`, where nothing else that it did meanwhile fits either
/// of the two.
pub(super) fn by_process(store: &Store, id: UpgradeId, skew: Duration, side: Side) -> Option<UpgradeId> {
    let other = only_partner(store, id, skew, side)?;
    let back = match side {
        Side::Down => Side::Up,
        Side::Up => Side::Down,
    };
    (only_partner(store, other, skew, back)? == id).then_some(other)
}

fn only_partner(store: &Store, id: UpgradeId, skew: Duration, side: Side) -> Option<UpgradeId> {
    let own = store.get(id)?;
    let pid = own.pids[usize::from(matches!(side, Side::Down))]?;
    if store.has_unpaired(pid, own) {
        return None;
    }
    let mut partners = store.around(id, SEARCHED).filter(|(_, other)| match side {
        Side::Down => may_share_process(own, other, skew),
        Side::Up => may_share_process(other, own, skew),
    });
    let (first, _) = partners.next()?;
    partners.next().is_none().then_some(first)
}

/// Whether one process got `down` and sent `up` meanwhile, and nothing in them speaks against it.
fn may_share_process(down: &Handshake, up: &Handshake, skew: Duration) -> bool {
    let (one, two) = (&down.traits, &up.traits);
    down.shares_process(up) == Some(true)
        && may_follow(down, up, skew)
        && may_have_passed_on(down, up)
        && !differ(one.agent, two.agent)
        && !differ(one.origin, two.origin)
        && forwarded_for(down, up) != Some(false)
}
