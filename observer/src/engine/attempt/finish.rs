//! The end of the capture: decides all that is open, one thing at a time, so that what is decided need not wait in memory.

use std::{cmp::Reverse, mem, vec};

use super::{
    super::{http::UpgradeId, time::Timestamp},
    Attempts, Timer, join,
};

/// What is left to do.
#[derive(Default, Debug)]
pub(super) enum Finishing {
    /// All: the capture goes on.
    #[default]
    All,
    /// Timers that are running.
    Due,
    /// Handshakes of clients.
    Roots(vec::IntoIter<UpgradeId>),
    /// Handshakes that only had parents that were decided without them.
    Rest(vec::IntoIter<UpgradeId>),
    Tunnels,
    /// Timers that were started meanwhile.
    Last,
}

impl Attempts {
    /// The capture is over: decides one thing that is open. False when there is none.
    pub fn finish(&mut self, now: Timestamp) -> bool {
        loop {
            let (next, decided) = match mem::replace(&mut self.finishing, Finishing::Last) {
                Finishing::All => {
                    // A client that still waits has not waited too long only because the capture ends.
                    self.timers.retain(|Reverse((_, timer))| !matches!(timer, Timer::Answer(_)));
                    (Finishing::Due, false)
                }
                Finishing::Due if self.advance(Timestamp::MAX) => (Finishing::Due, true),
                Finishing::Due => (Finishing::Roots(self.store.ids().into_iter()), false),
                Finishing::Roots(mut ids) => match ids.next() {
                    Some(id) => {
                        let is_root = self.store.get(id).is_some() && !join::has_parent(&self.store, id, self.settle);
                        if is_root {
                            self.decide(id, now, false);
                        }
                        (Finishing::Roots(ids), is_root)
                    }
                    None => (Finishing::Rest(self.store.ids().into_iter()), false),
                },
                Finishing::Rest(mut ids) => match ids.next() {
                    Some(id) => {
                        self.decide(id, now, false);
                        (Finishing::Rest(ids), true)
                    }
                    None => (Finishing::Tunnels, false),
                },
                Finishing::Tunnels => match self.tunnels.oldest() {
                    Some(id) => {
                        self.end_tunnel(id, now);
                        (Finishing::Tunnels, true)
                    }
                    None => (Finishing::Last, false),
                },
                Finishing::Last => return self.advance(Timestamp::MAX),
            };
            self.finishing = next;
            if decided {
                return true;
            }
        }
    }
}
