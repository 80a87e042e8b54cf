//! Open tunnels, those nearest to being cut first.

use std::{cmp::Reverse, time::Duration};

use super::list::Rows;
use crate::engine::{
    event::{AttemptId, OpenTunnel},
    time::Timestamp,
};

/// What most proxies do unless told otherwise (nginx, HAProxy's usual settings, load balancers): told as a guess.
const USUAL: Duration = Duration::from_secs(60);

/// A tunnel's way towards its end.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(in crate::tui) struct Countdown {
    /// Silence so far.
    pub(in crate::tui) idle: Duration,
    /// The silence after which the proxy is expected to close it.
    pub(in crate::tui) timer: Duration,
    /// Whether the proxy did that before.
    pub(in crate::tui) known: bool,
}

impl Countdown {
    pub(in crate::tui) fn of(tunnel: &OpenTunnel, now: Timestamp) -> Self {
        Self {
            idle: now.since(tunnel.last_at),
            timer: tunnel.idle_timer.unwrap_or(USUAL),
            known: tunnel.idle_timer.is_some(),
        }
    }

    /// What is left; `None` once the timer has passed and nothing happened: then it is not this proxy's timer.
    pub(in crate::tui) fn left(self) -> Option<Duration> {
        self.timer.checked_sub(self.idle)
    }

    /// The part that has gone, from 0 to 1.
    pub(in crate::tui) fn gone(self) -> f64 {
        if self.timer.is_zero() { 1.0 } else { (self.idle.as_secs_f64() / self.timer.as_secs_f64()).min(1.0) }
    }
}

/// The tunnels of the last snapshot.
#[derive(Default, Debug)]
pub(in crate::tui) struct Tunnels {
    listed: Vec<OpenTunnel>,
    now: Timestamp,
    selected: Option<AttemptId>,
}

impl Tunnels {
    /// Takes the tunnels that are open at `now`.
    pub(super) fn set(&mut self, tunnels: Vec<OpenTunnel>, now: Timestamp) {
        self.listed = tunnels;
        self.now = now;
        self.listed.sort_by_cached_key(|tunnel| {
            let left = Countdown::of(tunnel, now).left();
            // Those that outlived their timer are in no danger that is known of.
            (left.is_none(), left.unwrap_or_default(), Reverse(tunnel.opened_at), tunnel.attempt.id)
        });
    }

    /// When this was true.
    pub(in crate::tui) const fn now(&self) -> Timestamp {
        self.now
    }

    pub(in crate::tui) fn listed(&self) -> &[OpenTunnel] {
        &self.listed
    }

    pub(in crate::tui) fn selected(&self) -> Option<&OpenTunnel> {
        self.listed.get(self.position())
    }
}

impl Rows for Tunnels {
    fn len(&self) -> usize {
        self.listed.len()
    }

    fn position(&self) -> usize {
        let of = |id| self.listed.iter().position(|tunnel| tunnel.attempt.id == id);
        self.selected.and_then(of).unwrap_or(0)
    }

    fn select(&mut self, position: usize) {
        let tunnel = self.listed.get(position).filter(|_| position > 0);
        self.selected = tunnel.map(|tunnel| tunnel.attempt.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::{event::Traffic, sample};

    fn open(id: u64, silent: u64, timer: Option<u64>) -> OpenTunnel {
        let now = sample::at(100_000.0);
        OpenTunnel {
            attempt: Arc::new(sample::upgraded(id)),
            opened_at: sample::at(0.0),
            last_at: now.before(Duration::from_secs(silent)),
            last_heartbeat_at: None,
            bytes: Traffic::default(),
            frames: Traffic::default(),
            idle_timer: timer.map(Duration::from_secs),
        }
    }

    #[test]
    fn the_nearest_to_its_end_stands_first() {
        let mut tunnels = Tunnels::default();
        let all = vec![open(1, 5, None), open(2, 4, Some(5)), open(3, 58, None), open(4, 80, None)];
        tunnels.set(all, sample::at(100_000.0));
        let ids: Vec<_> = tunnels.listed().iter().map(|tunnel| tunnel.attempt.id.0).collect();
        assert_eq!(ids, [2, 3, 1, 4]);
        let first = Countdown::of(&tunnels.listed()[0], tunnels.now());
        assert_eq!((first.left(), first.known), (Some(Duration::from_secs(1)), true));
        assert_eq!(Countdown::of(&tunnels.listed()[3], tunnels.now()).left(), None);
    }

    #[test]
    fn the_selection_follows_its_tunnel() {
        let mut tunnels = Tunnels::default();
        tunnels.set(vec![open(1, 5, None), open(2, 4, None)], sample::at(100_000.0));
        tunnels.select(1);
        assert_eq!(tunnels.selected().unwrap().attempt.id.0, 2);
        tunnels.set(vec![open(1, 1, None), open(2, 50, None)], sample::at(100_000.0));
        assert_eq!((tunnels.selected().unwrap().attempt.id.0, tunnels.position()), (2, 0));
    }
}
