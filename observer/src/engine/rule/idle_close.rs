//! `idle-close`: a proxy cut a silent tunnel: no Close frame, no FIN or RST from a peer before its own.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        Config,
        alert::{Alert, Details, IdleTimer, Level, RuleId, TimerAt},
        attempt::{Ended, Group, Lone, SAME_IDLE},
        event::{Attempt, Candidates, ClosedBy, Endpoint, Product, ProductName, Role},
        product::{PROFILES, Timer},
    },
    alert, call, call_sender, path, sender,
};

/// How far before a timer's nominal time a proxy may act on it: nginx reuses timers within 300 ms.
const EARLY: Duration = Duration::from_millis(500);
/// Tunnels that end together after the same silence prove a timer: two may have fallen silent together before a reload.
const SEVERAL: usize = 3;
/// How far after.
const LATE: Duration = Duration::from_secs(1);

/// The defaults near an idle time: those of the product, or of all that it may be, or else of every product.
fn candidates(idle: Duration, who: Who<'_>) -> Vec<IdleTimer> {
    let near = |after: Duration| idle + EARLY >= after && idle <= after + LATE;
    let timers = PROFILES.iter().filter(|profile| who.may_be(profile.name)).flat_map(|profile| {
        let timer = |timer: &Timer| IdleTimer { product: profile.name.as_str(), name: timer.name, after: timer.after };
        profile.timers.iter().map(timer)
    });
    timers.filter(|timer| near(timer.after)).collect()
}

/// Who has the timer.
#[derive(Clone, Copy, Default)]
struct Who<'a> {
    product: Option<&'a Product>,
    candidates: Candidates,
}

impl<'a> Who<'a> {
    /// Who listens there, as far as the attempt shows it.
    fn at(attempt: &'a Attempt, by: &Endpoint) -> Self {
        let hop = attempt.hops.iter().find(|hop| hop.server == *by);
        hop.map(|hop| Self { product: hop.product.as_ref(), candidates: hop.candidates }).unwrap_or_default()
    }

    fn may_be(self, name: ProductName) -> bool {
        match self.product {
            Some(product) => product.name == name,
            None => self.candidates.is_empty() || self.candidates.contains(name),
        }
    }
}

/// Whether a timer explains the end of one of several tunnels that ended together: all of them were silent for the same
/// time, or this one for a time that its proxy, or a known product, keeps.
pub(super) fn is_by_timer(ended: &Ended, group: &Group, config: &Config) -> bool {
    let alike = || group.members.iter().all(|other| ends_alike(ended, other));
    let by = Endpoint::Ip(group.by.address());
    let fits = || !candidates(ended.tunnel.idle, Who::at(&ended.tunnel.attempt, &by)).is_empty();
    let known = ended.repeated || fits() || alike();
    ended.is_silent(config.idle_min) && known
}

fn ends_alike(one: &Ended, other: &Ended) -> bool {
    one.quiet.holds() && other.quiet.holds() && other.tunnel.idle.abs_diff(one.tunnel.idle) <= SAME_IDLE
}

pub(super) fn check(ended: &Ended, group: &Group) -> Alert {
    let tunnel = &ended.tunnel;
    let by = Endpoint::Ip(group.by.address());
    let who = Who::at(&tunnel.attempt, &by);
    let (candidates, product) = (candidates(tunnel.idle, who), who.product.cloned());
    let alike = group.members.iter().filter(|other| ends_alike(ended, other)).count();
    let certain = ended.repeated || !candidates.is_empty() || alike >= SEVERAL;
    let heartbeat = tunnel.pings + tunnel.pongs > 0;
    let message = format!(
        "{} closed the tunnel of {} after {:.1} s of silence{}.",
        call(product.as_ref(), &by),
        path(&tunnel.attempt),
        tunnel.idle.as_secs_f64(),
        if heartbeat { "; its heartbeats came too seldom, or stopped" } else { "; no heartbeat was seen" }
    );
    let level = if certain { Level::Error } else { Level::Warning };
    let details = Details::IdleClose { at: TimerAt::Proxy, idle: tunnel.idle, by, heartbeat, candidates, certain };
    let alert = alert(RuleId::IdleClose, level, tunnel.ended_at, &tunnel.attempt, message, details);
    Alert { product, ..alert }
}

/// Only the upstream side was seen, and the proxy closed it at a time that a known product keeps. Its client may have
/// asked for it, unseen: no more than a notice.
pub(super) fn check_one_sided(ended: &Ended, config: &Config) -> Option<Alert> {
    let tunnel = &ended.tunnel;
    let hop = tunnel.attempt.first();
    let product = sender(hop);
    let candidates = candidates(tunnel.idle, Who { product: product.as_ref(), ..Who::default() });
    let silent = tunnel.closed_by == ClosedBy::Unknown && !tunnel.still_open && ended.is_silent(config.idle_min);
    if !silent || ended.lone != Some(Lone::Client) || hop.role != Role::Upstream || candidates.is_empty() {
        return None;
    }
    let by = hop.client.clone();
    let message = format!(
        "{} closed the tunnel of {} after {:.1} s of silence, which fits a known timer; its client's side was not captured.",
        call_sender(hop),
        path(&tunnel.attempt),
        tunnel.idle.as_secs_f64()
    );
    let heartbeat = tunnel.pings + tunnel.pongs > 0;
    let at = TimerAt::Proxy;
    let details = Details::IdleClose { at, idle: tunnel.idle, by, heartbeat, candidates, certain: false };
    let attempt = Arc::clone(&tunnel.attempt);
    let alert = alert(RuleId::IdleClose, Level::Notice, tunnel.ended_at, &attempt, message, details);
    Some(Alert { product, ..alert })
}

/// The server's side of the only hop that was seen ended it: the proxy, or what stands behind it where the capture shows
/// nothing, such as a unix socket. One may be chance, unless a known product keeps that time.
pub(super) fn check_server_side(ended: &Ended, config: &Config) -> Option<Alert> {
    let tunnel = &ended.tunnel;
    let by = tunnel.attempt.first().server.clone();
    let who = Who::at(&tunnel.attempt, &by);
    // Its own, or that of what stands behind it.
    let own = candidates(tunnel.idle, who);
    let candidates = if own.is_empty() { candidates(tunnel.idle, Who::default()) } else { own };
    let silent = tunnel.closed_by == ClosedBy::Unknown && !tunnel.still_open && ended.is_silent(config.idle_min);
    // Of a hop behind it something may be missing that tells who did it.
    if !silent || ended.lone != Some(Lone::Server) || tunnel.missing.is_some() {
        return None;
    }
    let level = match (ended.alike, candidates.is_empty()) {
        (SEVERAL.., _) => Level::Error,
        (2, _) => Level::Warning,
        (_, false) => Level::Notice,
        (_, true) => return None,
    };
    let product = who.product.cloned();
    let message = format!(
        "The server's side of {} closed the tunnel of {} after {:.1} s of silence{}: a timer of it, or of what stands \
         behind it, which was not captured.",
        call(product.as_ref(), &by),
        path(&tunnel.attempt),
        tunnel.idle.as_secs_f64(),
        as_others(ended)
    );
    let alert = elsewhere(ended, (TimerAt::ServerSide, level), candidates, message);
    Some(Alert { product, ..alert })
}

/// The client's side ended several tunnels after the same silence, none with a Close frame: clients do not leave alike.
pub(super) fn check_in_front(ended: &Ended, config: &Config) -> Option<Alert> {
    let tunnel = &ended.tunnel;
    let by_client = tunnel.closed_by == ClosedBy::Client && !tunnel.still_open && ended.is_silent(config.idle_min);
    if !by_client || ended.alike < SEVERAL {
        return None;
    }
    let message = format!(
        "The client's side ended the tunnel of {} after {:.1} s of silence{}: a timer of something in front of {}. Raise \
         that, or send a WebSocket ping more often.",
        path(&tunnel.attempt),
        tunnel.idle.as_secs_f64(),
        as_others(ended),
        tunnel.attempt.first().server
    );
    let candidates = candidates(tunnel.idle, Who::default());
    Some(elsewhere(ended, (TimerAt::InFront, Level::Warning), candidates, message))
}

fn as_others(ended: &Ended) -> String {
    if ended.alike > 1 { format!(", as it did with {} before", ended.alike - 1) } else { String::new() }
}

/// A timer that is not of the proxy that was seen to close.
fn elsewhere(ended: &Ended, (at, level): (TimerAt, Level), candidates: Vec<IdleTimer>, message: String) -> Alert {
    let tunnel = &ended.tunnel;
    let hop = tunnel.attempt.first();
    let by = if at == TimerAt::InFront { &hop.client } else { &hop.server }.clone();
    let heartbeat = tunnel.pings + tunnel.pongs > 0;
    let certain = level == Level::Error;
    let details = Details::IdleClose { at, idle: tunnel.idle, by, heartbeat, candidates, certain };
    alert(RuleId::IdleClose, level, tunnel.ended_at, &tunnel.attempt, message, details)
}
