//! Waiting for bytes that are missing, and giving up: what is not captured becomes a gap, never silence.

use smallvec::SmallVec;

use super::{After, Connection, News, Watch};
use crate::engine::{
    tcp::{
        Direction, End, Missing, Opening, Reader, Stamp,
        flow::{Flow, Watched},
    },
    time::Timestamp,
};

impl<R: Reader> Connection<R> {
    /// What to look at again later, each told once.
    pub(in crate::engine::tcp) fn watches(&mut self) -> SmallVec<[(After, Watch); 3]> {
        let mut watches = SmallVec::new();
        if self.closing {
            return watches;
        }
        for side in 0..2u8 {
            let flow = &mut self.flows[usize::from(side)];
            let missing = flow.is_missing() || (!flow.started && (flow.heard || !flow.is_clear()));
            let wanted = match (missing, flow.is_stuck()) {
                (true, _) => Watched::Closely,
                (false, true) => Watched::Patiently,
                (false, false) => Watched::No,
            };
            if wanted > flow.watched {
                flow.watched = wanted;
                let after = if wanted == Watched::Closely { After::Settle } else { After::Patience };
                watches.push((after, Watch::Hole(side, flow.place())));
            }
        }
        if self.reset().is_some() {
            self.closing = true;
            watches.push((After::Settle, Watch::Reset));
        } else if self.flows.iter().all(Flow::has_ended) {
            self.closing = true;
            watches.push((After::Linger, Watch::Forget));
        }
        watches
    }

    /// A wait is over at `at`, and is ended by what is known at `now`.
    pub(in crate::engine::tcp) fn expire(
        &mut self,
        watch: Watch,
        at: Timestamp,
        now: Timestamp,
        to: &mut R::Listener,
    ) -> News {
        let mut news = News::default();
        match watch {
            Watch::Hole(side, position) => {
                let side = usize::from(side);
                self.flows[side].watched = Watched::No;
                if self.flows[side].place() == position {
                    self.give_up(side, false, (at, now), to, &mut news);
                    self.pump(to, &mut news);
                }
                news.moved = self.flows[side].place() != position;
            }
            Watch::Reset => {
                news = self.flush((at, now), to);
                news.over = true;
            }
            Watch::Forget => news.over = true,
        }
        news
    }

    /// Skips what is missing before the next bytes that are there.
    /// A FIN that is the last to come tells of missing bytes before it, too.
    pub(super) fn give_up(
        &mut self,
        side: usize,
        last: bool,
        (at, now): (Timestamp, Timestamp),
        to: &mut R::Listener,
        news: &mut News,
    ) {
        if self.is_refusal() {
            return;
        }
        if self.client.is_none() {
            self.guess_client();
            self.announced = true;
            if let Some(link) = self.link() {
                self.reader.opened(to, &link, Opening::Middle, Stamp { at, ..Stamp::default() });
            }
        }
        let Some(link) = self.link() else { return };
        let way = self.way(side);
        if way == Direction::ToServer && self.flows.iter().all(|flow| !flow.started) {
            // Where the server stood is known before what its client asks then.
            self.give_up(1 - side, last, (at, now), to, news);
        }
        let flow = &mut self.flows[side];
        let was_started = flow.started;
        let stalled = was_started && flow.stalled;
        let to_first = flow.first_pending().filter(|first| !was_started || *first > flow.next);
        let target = match (to_first, flow.heard) {
            _ if stalled => return,
            (Some(first), _) => first,
            (None, true) if flow.is_missing() || (!was_started && flow.is_clear()) => flow.acked(),
            (None, _) if last && was_started && flow.is_clear() => flow.fin().map_or(flow.next, |fin| fin.position),
            _ => return,
        };
        let target = match flow.fin() {
            Some(fin) if target == fin.position + 1 => fin.position,
            _ => target,
        };
        let acked = flow.acked_unseen();
        let length = if was_started { target.saturating_sub(flow.next) } else { 0 };
        if was_started && length == 0 {
            return;
        }
        flow.next = target;
        flow.started = true;
        let stamp = flow.next_stamp().unwrap_or(Stamp { at, ..Stamp::default() });
        if was_started {
            news.gaps += 1;
            news.gap_bytes += length;
        }
        let (by, clock) = match (flow.next_stamp(), acked) {
            (Some(_), _) => (stamp.at, Some(stamp.clock)),
            (None, Some((at, clock))) => (at, Some(clock)),
            (None, None) => (now, None),
        };
        self.reader.gap(to, &link, way, &Missing { length, stamp, by, clock });
        // What the other direction's reader waited for may be missing: it goes on before what comes next here.
        self.flows[1 - side].stalled = false;
    }

    /// No SYN was seen: the bytes tell who is who, or else the lower port is the server's.
    pub(super) fn guess_client(&mut self) {
        let score = |flow: &Flow| flow.peek().map(R::side).find(|side| *side != 0).unwrap_or(0);
        let lean = i32::from(score(&self.flows[0])) - i32::from(score(&self.flows[1]));
        let ends = [self.key.end(0), self.key.end(1)];
        let first = if lean == 0 { ends[0].port() >= ends[1].port() } else { lean > 0 };
        self.client = Some(u8::from(!first));
    }

    /// Gives up every wait, as at [`Self::expire`]: what is there is read, what is not is a gap.
    pub(in crate::engine::tcp) fn flush(&mut self, at: (Timestamp, Timestamp), to: &mut R::Listener) -> News {
        let mut news = News::default();
        if self.is_refusal() {
            self.refuse_unseen(to, &mut news);
            return news;
        }
        self.pump(to, &mut news);
        // Each round skips one hole; the number of pieces bounds the number of holes.
        for _ in 0..8192 {
            let before = (self.flows[0].next, self.flows[1].next);
            for side in 0..2 {
                let flow = &self.flows[side];
                if !flow.is_clear()
                    || flow.is_missing()
                    || flow.fin().is_some_and(|fin| flow.next < fin.position)
                    || (!flow.started && flow.heard)
                {
                    self.give_up(side, true, at, to, &mut news);
                }
            }
            self.pump(to, &mut news);
            if before == (self.flows[0].next, self.flows[1].next) {
                break;
            }
        }
        if let (Some((side, at)), Some(link)) = (self.reset(), self.link()) {
            self.reader.end(to, &link, self.way(usize::from(side)), End::Reset, at);
        }
        for flow in &mut self.flows {
            flow.clear();
        }
        news
    }
}
