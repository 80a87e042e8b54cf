//! Whether one handshake may be what a proxy made of another, and how well it fits.

use std::time::Duration;

use super::super::{
    super::{
        event::{HttpVersion, JoinMethod},
        handshake::{Handshake, field::UpgradeRequest},
        http::UpgradeId,
    },
    report,
    store::may_follow,
};

/// Whether `up` may be the next hop after `down`, with which it shares a name.
pub(in crate::engine::attempt) fn may_be_next(
    method: JoinMethod,
    down: &Handshake,
    up: &Handshake,
    skew: Duration,
) -> bool {
    may_follow(down, up, skew)
        && agree(method, down, up)
        && (!is_hairpin(down, up) || is_passed_on(down, up))
        && (down.traits.upgrade || !up.traits.upgrade || !report::names_original(down))
}

/// Whether one host sent both, and `up` not from the address that got `down`: a client beside a proxy that listens on
/// another address, or a proxy that asked two servers.
pub(in crate::engine::attempt) fn is_hairpin(down: &Handshake, up: &Handshake) -> bool {
    down.link.shares_client(&up.link) && !down.link.leads_to(&up.link)
}

/// Whether the answers, as far as they are known, are one, and nothing was added to the request, nor taken off it for an
/// answer of its own.
fn is_passed_on(down: &Handshake, up: &Handshake) -> bool {
    let other = down.status().zip(up.status()).is_some_and(|(one, two)| one != two);
    let aside = down.traits.upgrade && !up.traits.upgrade && down.status().is_none() && up.status().is_some();
    !other && !aside && (down.traits.upgrade || !up.traits.upgrade)
}

/// Whether the answer shows that `up` is what was made of `down`, which another attempt may have had as well: that answer
/// was passed on. Proxies say 502 to 504 by themselves, too; and what they ask on the side is no upgrade, and often allowed.
pub(super) fn shows_relay(down: &Handshake, up: &Handshake) -> bool {
    let own = match up.status() {
        Some(502..=504) => true,
        Some(200..=299 | 401 | 403) => down.traits.upgrade && !up.traits.upgrade,
        _ => false,
    };
    down.status() == up.status() && !own
}

/// Whether `up` may be what `down` led to beside the request that was passed on: a try with another server before, or a
/// request of the proxy's own.
pub(super) fn may_be_aside(
    down: &Handshake,
    up: &Handshake,
    all: &[(UpgradeId, &Handshake)],
    method: JoinMethod,
    skew: Duration,
) -> bool {
    let fits = |up: &Handshake| may_be_next(method, down, up, skew) && may_have_passed_on(down, up);
    let main = |other: &Handshake| {
        let before = up.ended_at.is_some_and(|end| end <= other.request.at) && !up.is_upgraded();
        is_sibling(up, other) && fits(other) && (before || other.traits.upgrade && !up.traits.upgrade)
    };
    down.status() != up.status() && fits(up) && all.iter().any(|(_, other)| main(other))
}

/// Whether `down` may have been answered with the answer of `up`, and `up` be what was made of it.
pub(super) fn may_have_passed_on(down: &Handshake, up: &Handshake) -> bool {
    let late = is_during(down, up) == Some(false) && down.status().is_some() && up.status().is_some();
    !late && was_asked_during(down, up) && (down.traits.upgrade || !up.traits.upgrade)
}

/// Whether `up` was asked and answered while `down` waited; `None` where that is not known: two taps have two clocks.
pub(super) fn is_during(down: &Handshake, up: &Handshake) -> Option<bool> {
    if down.clock != up.clock {
        return None;
    }
    let ends = down.ended_at.zip(up.ended_at.or(up.left.map(|(at, _)| at)));
    if up.request.at < down.request.at { Some(false) } else { ends.map(|(down, up)| up <= down) }
}

/// Whether `up` was asked while `down` waited, as far as one clock tells.
pub(in crate::engine::attempt) fn was_asked_during(down: &Handshake, up: &Handshake) -> bool {
    let asked = up.request.at;
    down.clock != up.clock || down.request.at <= asked && down.ended_at.is_none_or(|end| asked <= end)
}

/// What the proxy that sent a hop made of the request.
pub(super) fn made(handshake: &Handshake) -> (bool, bool, HttpVersion, bool) {
    let request = &handshake.request;
    (request.has_upgrade(), request.has_connection_upgrade(), request.version, request.complete)
}

/// What a hop says of the proxy that sent it.
pub(super) fn said(handshake: &Handshake) -> (impl PartialEq, Option<u16>) {
    (made(handshake), handshake.status())
}

/// Whether another handshake is a different client's, at the same place and about the same time: some hop may be made of
/// either.
pub(super) fn is_rival(client: &Handshake, rival: &Handshake, skew: Duration) -> bool {
    let skew = skew * 2;
    let overlaps = client.ended_at.is_none_or(|end| rival.request.at <= end + skew)
        && rival.ended_at.is_none_or(|end| client.request.at <= end + skew);
    rival.link.shares_server(&client.link) && overlaps
}

/// Whether two handshakes that share a name do not contradict each other.
fn agree(method: JoinMethod, down: &Handshake, up: &Handshake) -> bool {
    if method != JoinMethod::Fingerprint {
        return true;
    }
    let (one, two) = (&down.traits, &up.traits);
    // Two requests with different keys are two attempts unless a proxy speaks for itself, which it shows.
    let keys = one.key == two.key || two.forwarded || !up.request.complete;
    down.link.leads_to(&up.link)
        && was_asked_during(down, up)
        && one.websocket == two.websocket
        && keys
        && !differ(one.agent, two.agent)
        && !differ(one.origin, two.origin)
        && forwarded_for(down, up) != Some(false)
        && down.shares_process(up) != Some(false)
}

/// Whether one host sent both, to two servers: a proxy's tries, and what it asks on the side.
pub(super) fn is_sibling(one: &Handshake, other: &Handshake) -> bool {
    one.link.shares_client(&other.link) && !one.link.shares_server(&other.link)
}

/// Whether two values are there and not the same.
pub(super) fn differ(one: Option<u64>, two: Option<u64>) -> bool {
    one.zip(two).is_some_and(|(one, two)| one != two)
}

/// Whether the forwarded-for of `up` names the client of `down`; `None` where it names nobody, or was only passed on.
pub(super) fn forwarded_for(down: &Handshake, up: &Handshake) -> Option<bool> {
    if down.traits.forwarded_for == up.traits.forwarded_for {
        return None;
    }
    up.traits.names_client(down.forwarded_for().unwrap_or(down.link.client).ip())
}

/// How well `up` fits as what a proxy made of `down`.
pub(super) fn affinity(down: &Handshake, up: &Handshake) -> i32 {
    let (one, two) = (&down.traits, &up.traits);
    let same = |one: Option<u64>, two: Option<u64>| one.zip(two).map(|(one, two)| one == two);
    let weigh = |fits: Option<bool>, yes: i32, no: i32| match fits {
        Some(true) => yes,
        Some(false) => -no,
        None => 0,
    };
    weigh(Some(down.link.leads_to(&up.link)), 8, 8)
        + weigh(Some(one.tail == two.tail), 4, 4)
        + weigh(Some(one.target == two.target), 2, 0)
        + weigh(down.status().zip(up.status()).map(|(one, two)| one == two), 6, 6)
        + weigh(is_during(down, up), 4, 4)
        + weigh(same(one.agent, two.agent), 2, 6)
        + weigh(same(one.origin, two.origin), 2, 6)
        + weigh(same(one.host, two.host), 1, 0)
        + weigh(forwarded_for(down, up), 2, 8)
        + weigh(down.shares_process(up), 2, 16)
}
