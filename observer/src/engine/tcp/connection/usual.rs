//! The usual segment: no flags, on a connection on which nothing is missing, late or ending, and next in its order. Nearly
//! all segments are, so that this decides how long a capture takes.

use super::Connection;
use crate::engine::{
    packet::{Flags, Segment},
    tcp::{Passed, Reader, Stamp, Want, flow::Flow},
};

impl<R: Reader> Connection<R> {
    /// Takes a segment if it is a usual one: then nothing is to be waited for because of it.
    #[inline]
    pub(in crate::engine::tcp) fn usual(
        &mut self,
        side: usize,
        segment: &Segment<'_>,
        stamp: Stamp,
        to: &mut R::Listener,
    ) -> bool {
        let whole = segment.payload.len() == segment.wire_payload as usize;
        if !whole || !self.is_usual(side, segment) {
            return false;
        }
        self.acknowledge(side, segment, &stamp);
        if segment.payload.is_empty() {
            return true;
        }
        let Some(link) = self.link() else { return false };
        self.read(&link, side, segment.payload, stamp, to);
        true
    }

    /// Takes a segment by its headers if it is a usual one of whose payload the reader needs nothing.
    pub(in crate::engine::tcp) fn pass(
        &mut self,
        side: usize,
        segment: &Segment<'_>,
        stamp: Stamp,
        to: &mut R::Listener,
    ) -> bool {
        let (way, length) = (self.way(side), u64::from(segment.wire_payload));
        let to_header = match self.reader.wants(way) {
            Want::Nothing => None,
            Want::After(left) if length <= left => None,
            Want::Frames(left) if length <= left => Some(left - length),
            _ => return false,
        };
        let Some(link) = self.link().filter(|_| length > 0 && self.is_usual(side, segment)) else { return false };
        self.acknowledge(side, segment, &stamp);
        self.reader.passed(to, &link, way, &Passed { length, at: stamp.at, frames: 0, to_header });
        self.flows[side].advance(length);
        true
    }

    /// Whether a segment is next in order on a connection of which nothing else is expected.
    #[inline]
    fn is_usual(&self, side: usize, segment: &Segment<'_>) -> bool {
        let flows = self.announced && self.reset().is_none() && self.flows.iter().all(Flow::is_flowing);
        let (true, Flags::NONE, Some(acknowledgment)) = (flows, segment.flags, segment.acknowledgment) else {
            return false;
        };
        let (own, other) = (&self.flows[side], &self.flows[1 - side]);
        let position = own.position(segment.sequence);
        let next = match segment.wire_payload {
            0 => position <= own.next,
            _ => position == own.next && self.may_read(side, Some(acknowledgment)),
        };
        next && other.position(acknowledgment) <= other.next
    }

    #[inline]
    fn acknowledge(&mut self, side: usize, segment: &Segment<'_>, stamp: &Stamp) {
        self.touched = true;
        if let Some(acknowledgment) = segment.acknowledgment {
            self.flows[1 - side].acknowledge(acknowledgment, stamp);
        }
    }
}
