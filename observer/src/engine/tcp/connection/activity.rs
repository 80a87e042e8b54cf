//! Payload that is not needed: what to tell a tap that can leave it out, and what the tap tells of it.

use smallvec::{SmallVec, smallvec};

use super::{Connection, News, Told};
use crate::engine::{
    demand::{Activity, Control, Demand, Skipped, Wanted},
    tcp::{Passed, Reader, Want},
};

impl<R: Reader> Connection<R> {
    /// What is needed of both directions, where that is less than was told before; of its other names, nothing.
    pub(in crate::engine::tcp) fn demands(&mut self) -> Option<SmallVec<[Demand; 1]>> {
        let link = self.link()?;
        let wanted = [0, 1].map(|side| self.wanted(side));
        let told = self.told().map_or([Wanted::All; 2], |told| told.wanted);
        let news = wanted.iter().zip(&told).any(|(wanted, told)| *wanted != Wanted::All && wanted != told);
        if !news {
            return None;
        }
        let read = self.told().map_or([0, 1].map(|side: usize| self.flows[side].next), |told| told.read);
        self.unusual.get_or_insert_default().told = Some(Told { wanted, read });
        let client = usize::from(self.client?);
        let demand = |client, server, to_server, to_client| Demand { client, server, to_server, to_client };
        let mut demands = smallvec![demand(link.client, link.server, wanted[client], wanted[1 - client])];
        for alias in self.aliases() {
            let [low, high] = alias.ends();
            let (client, server) = if high == link.server || low == link.client { (low, high) } else { (high, low) };
            demands.push(demand(client, server, Wanted::Nothing, Wanted::Nothing));
        }
        Some(demands)
    }

    fn told(&self) -> Option<&Told> {
        self.unusual.as_ref()?.told.as_ref()
    }

    fn told_mut(&mut self) -> Option<&mut Told> {
        self.unusual.as_mut()?.told.as_mut()
    }

    /// What `side` sent was read up to where it stands now.
    #[inline]
    pub(super) fn note_read(&mut self, side: usize) {
        let next = self.flows[side].next;
        if let Some(told) = self.told_mut() {
            told.read[side] = next;
        }
    }

    fn wanted(&self, side: usize) -> Wanted {
        let flow = &self.flows[side];
        if !flow.started || !flow.is_clear() {
            return Wanted::All;
        }
        #[expect(clippy::cast_possible_truncation, reason = "sequence numbers are the low 32 bits of positions")]
        let after = |length: u64| (flow.next + length) as u32;
        match self.reader.wants(self.way(side)) {
            Want::All => Wanted::All,
            Want::After(length) if length > 1 << 30 => Wanted::All,
            Want::After(length) => Wanted::From(after(length)),
            Want::Frames(length) => Wanted::Frames(after(length)),
            Want::Nothing => Wanted::Nothing,
        }
    }

    /// Takes what `side` sent, by the tap's count, up to a position.
    pub(in crate::engine::tcp) fn activity(&mut self, side: usize, activity: &Activity, to: &mut R::Listener) -> News {
        let mut news = News::default();
        let Some(link) = self.link().filter(|_| self.flows[side].started) else { return news };
        self.touched = true;
        let (way, end) = (self.way(side), self.flows[side].position(activity.next));
        // Payload that was wanted may lie among what was not.
        while let Some(first) = self.flows[side].first_pending().filter(|first| *first < end) {
            let length = first.saturating_sub(self.flows[side].next);
            self.reader.passed(to, &link, way, &Passed { length, at: activity.at, frames: 0, to_header: None });
            self.flows[side].advance(length);
            self.pump(to, &mut news);
            if self.flows[side].first_pending() == Some(first) {
                return news;
            }
        }
        let flow = &mut self.flows[side];
        let length = end.saturating_sub(flow.next);
        flow.advance(length);
        let header = activity.next_header.map(|header| flow.position(header)).filter(|_| flow.next == end);
        let to_header = header.and_then(|header| header.checked_sub(end));
        if let (Some(header), Some(told)) = (activity.next_header, self.told_mut())
            && matches!(told.wanted[side], Wanted::Frames(_))
        {
            told.wanted[side] = Wanted::Frames(header);
        }
        // What was read by another name is not new.
        let frames = if length > 0 { activity.frames } else { 0 };
        self.reader.passed(to, &link, way, &Passed { length, at: activity.at, frames, to_header });
        self.pump(to, &mut news);
        news
    }

    /// Takes ordinary requests, of which `client` is the side, and their answers as gone by.
    pub(in crate::engine::tcp) fn skipped(&mut self, client: usize, skipped: &Skipped, to: &mut R::Listener) {
        let Some(link) = self.link().filter(|_| self.flows.iter().all(|flow| flow.started)) else { return };
        self.touched = true;
        let mut lengths = [0; 2];
        for (side, sequence) in [(client, skipped.to_server), (1 - client, skipped.to_client)] {
            let flow = &mut self.flows[side];
            lengths[side] = flow.skip(flow.position(sequence));
        }
        self.reader.skipped(to, &link, [lengths[client], lengths[1 - client]], skipped);
    }

    /// Takes a control frame out of what was not wanted.
    pub(in crate::engine::tcp) fn control(&mut self, side: usize, control: &Control<'_>) {
        let flow = &self.flows[side];
        let read = self.told().map_or(0, |told| told.read[side]);
        if flow.started && flow.position(control.next) > read {
            self.reader.control(self.way(side), control.bytes, control.at);
        }
    }
}
