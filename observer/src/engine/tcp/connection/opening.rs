//! How a connection begins, or is refused: SYN, the answer to it, and RST.

use std::num::NonZeroU32;

use super::{Connection, News};
use crate::engine::{
    packet::Segment,
    tcp::{Opening, Reader, Stamp},
    time::Timestamp,
};

impl<R: Reader> Connection<R> {
    pub(super) fn syn(&mut self, side: usize, segment: &Segment<'_>, at: Timestamp, news: &mut News) {
        let client = if segment.acknowledgment.is_some() { 1 - side } else { side };
        self.client = u8::try_from(client).ok();
        if client == side {
            self.syn_at = self.syn_at.min(at);
            self.timestamp_value = self.timestamp_value.or(segment.timestamp_value.and_then(NonZeroU32::new));
        }
        let flow = &mut self.flows[side];
        let again = flow.initial.is_some_and(|initial| initial != segment.sequence) && flow.is_untouched();
        if flow.initial.is_some() && !again {
            return;
        }
        flow.initial = Some(segment.sequence);
        if again {
            // The server forgot its first answer to the SYN, and what was acknowledged of it.
            flow.start(segment.sequence.wrapping_add(1));
            flow.heard = false;
        }
        if !flow.started {
            flow.start(segment.sequence.wrapping_add(1));
        }
        news.initials = self.initials();
    }

    /// Where the other side's SYN was not seen, the answer to it still tells where its bytes begin.
    pub(super) fn opens_other(&mut self, side: usize, segment: &Segment<'_>, acknowledgment: u32) {
        let initial = self.flows[side].initial;
        let first = initial.is_some_and(|initial| initial.wrapping_add(1) == segment.sequence);
        let by_client = first && self.client == u8::try_from(side).ok();
        let other = &mut self.flows[1 - side];
        if !other.started && other.is_clear() && !segment.flags.rst() && (segment.flags.syn() || by_client) {
            other.start(acknowledgment);
        }
    }

    pub(super) fn rst(&mut self, side: usize, stamp: Stamp, to: &mut R::Listener, news: &mut News) {
        let opening = !self.flows[side].started && self.client == u8::try_from(1 - side).ok();
        if opening && self.flows[1 - side].is_clear() && !self.flows[side].heard {
            self.refuse(stamp, to, news);
        } else if self.reset().is_none_or(|(_, at)| stamp.at < at) {
            // What it sent before its RST counts as sent, whether it was seen or not.
            if self.flows[side].started && stamp.sequence != 0 {
                self.flows[side].acknowledge(stamp.sequence, &stamp);
            }
            let reset = u8::try_from(side).ok().map(|side| (side, stamp.at));
            self.unusual.get_or_insert_default().reset = reset;
            if self.is_refusal() {
                self.client = u8::try_from(1 - side).ok();
                self.announce(stamp, to);
            }
        }
    }

    /// Whether the answer to this SYN, an RST that acknowledges nothing else, was seen before it.
    pub(super) fn was_refused(&self, side: usize, segment: &Segment<'_>) -> bool {
        let (flow, other) = (&self.flows[side], &self.flows[1 - side]);
        let by_other = self.reset().is_some_and(|(by, _)| usize::from(by) != side);
        let unopened = segment.acknowledgment.is_none() && !other.started && !other.heard && flow.is_clear();
        by_other && unopened && flow.heard && flow.acked() == flow.next
    }

    /// Whether all that was seen of it is an RST that answers a SYN: no other begins a connection in the table.
    pub(super) fn is_refusal(&self) -> bool {
        self.reset().is_some() && self.flows.iter().all(|flow| flow.is_clear() && !flow.started)
    }

    /// Tells of a SYN that was not seen by the RST that answered it.
    pub(super) fn refuse_unseen(&mut self, to: &mut R::Listener, news: &mut News) {
        if let Some((_, at)) = self.reset() {
            self.refuse(Stamp { at, ..Stamp::default() }, to, news);
        }
    }

    pub(super) fn refuse(&mut self, stamp: Stamp, to: &mut R::Listener, news: &mut News) {
        if let Some(link) = self.link() {
            self.reader.opened(to, &link, Opening::Syn, stamp);
            self.reader.opened(to, &link, Opening::Refused, stamp);
        }
        news.refused = true;
    }

    pub(super) fn announce(&mut self, stamp: Stamp, to: &mut R::Listener) {
        if self.announced {
            return;
        }
        let Some(link) = self.link() else { return };
        let server = &self.flows[1 - usize::from(self.client.unwrap_or(0))];
        let accepted = server.initial.is_some() || server.started;
        let opening = if accepted { Opening::Accepted } else { Opening::Syn };
        self.announced = accepted;
        self.reader.opened(to, &link, opening, stamp);
    }
}
