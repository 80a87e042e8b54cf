//! One direction of a connection: which byte comes next, and the pieces that wait for it (RFC 9293 3.4, 3.10.7.4).
//!
//! The first copy of a byte wins. Positions are sequence numbers unwrapped to 64 bits, so that comparisons are plain.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, mem};

use super::Stamp;
use crate::engine::{frame::ClockId, memory::block, time::Timestamp};

/// Pieces and bytes that may wait in one direction. Beyond it the oldest hole is given up as a gap.
pub(super) const PENDING_BYTES: usize = 512 << 10;
const PENDING_PIECES: usize = 2048;
/// How far acknowledgments are known to be behind, at most.
const LAG: u32 = 1 << 30;

/// A node of std's tree has room for eleven pieces; six of them or more are taken in all nodes but the only one.
const NODE: usize = block(11 * size_of::<(u64, Piece)>() + 16);
const TAKEN: usize = 6;
/// Bytes that a piece costs beside its own: the allocator's grain.
const GRAIN: usize = 24;

/// One direction of a connection. 32 bytes: there may be a million of them.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Position of the next byte to deliver; its low 32 bits are the sequence number. Meaningless until `started`.
    pub(super) next: u64,
    unusual: Option<Box<Unusual>>,
    /// Initial sequence number, once the SYN was seen.
    pub(super) initial: Option<u32>,
    /// Sequence number up to which the peer acknowledged.
    acked: u32,
    /// Whether `next` is known.
    pub(super) started: bool,
    /// Whether the peer acknowledged anything.
    pub(super) heard: bool,
    /// Whether the reader declined to take more for now.
    pub(super) stalled: bool,
    /// Whether a timer watches this flow.
    pub(super) watched: Watched,
}

/// What few flows have at a time: an end, and bytes that wait.
#[derive(Debug, Default)]
struct Unusual {
    /// The first FIN.
    fin: Option<Fin>,
    /// Whether the end was told to the reader.
    ended: bool,
    /// When the peer last acknowledged bytes that were not seen, and by which clock.
    acked_unseen: Option<(Timestamp, ClockId)>,
    pending: Pending,
}

/// The end of a flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fin {
    /// Position of the FIN itself.
    pub(super) position: u64,
    /// When it was seen.
    pub(super) at: Timestamp,
    /// What its segment acknowledged.
    pub(super) acknowledgment: Option<u32>,
}

/// How soon a hole in a flow is given up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(super) enum Watched {
    /// Nothing is missing.
    #[default]
    No,
    /// Missing bytes may still be sent again: nobody has acknowledged them.
    Patiently,
    /// Missing bytes were acknowledged: they can only come out of order.
    Closely,
}

/// What waits for bytes before it, or for a reader that has stalled.
#[derive(Debug, Default)]
struct Pending {
    pieces: BTreeMap<u64, Piece>,
    bytes: usize,
}

/// Contiguous bytes of one segment, or a run that the snapshot length cut off (`bytes` empty).
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Length in sequence space.
    pub(super) length: u64,
    pub(super) stamp: Stamp,
}

impl Piece {
    fn is_cut(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Pending {
    /// Throws away the pieces that begin before `position`.
    fn drop_before(&mut self, position: u64) {
        let kept = self.pieces.split_off(&position);
        let dropped = std::mem::replace(&mut self.pieces, kept);
        self.bytes -= dropped.values().map(|piece| piece.bytes.len()).sum::<usize>();
    }

    /// Makes room for captured bytes in the cut run that begins at `from`.
    fn uncover(&mut self, from: u64, start: u64, end: u64) {
        let Some(run) = self.pieces.remove(&from) else { return };
        for (start, end) in [(from, start), (end, from + run.length)] {
            if start < end {
                self.pieces.insert(start, Piece { bytes: Vec::new(), length: end - start, stamp: run.stamp });
            }
        }
    }
}

/// What can be handed to the reader next.
#[derive(Debug)]
pub(super) enum Ready {
    /// Bytes at `next`.
    Bytes(Piece),
    /// Bytes that were on the wire but are not in the capture.
    Cut(u64),
}

impl Flow {
    /// The position of a sequence number, near the bytes that are expected now.
    pub(super) fn position(&self, sequence: u32) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "sequence numbers are the low 32 bits of positions")]
        let distance = i64::from(sequence.wrapping_sub(self.next as u32).cast_signed());
        self.next.saturating_add_signed(distance)
    }

    /// Where it waits: the next byte's position, once that is more than a guess.
    pub(super) fn place(&self) -> u64 {
        if self.started { self.next } else { u64::MAX }
    }

    /// Sets where the flow begins, by the reckoning of what waits already.
    pub(super) fn start(&mut self, sequence: u32) {
        self.anchor(sequence);
        self.next = self.position(sequence);
        self.started = true;
    }

    /// Gives an unstarted flow a reference for [`Self::position`], without claiming that it begins there.
    pub(super) fn anchor(&mut self, sequence: u32) {
        if self.next == 0 {
            // One turn of the sequence space up, so that positions before the start do not fall below zero.
            self.next = u64::from(sequence) + (1 << 32);
        }
    }

    /// Notes what the peer acknowledged, and when.
    #[inline]
    pub(super) fn acknowledge(&mut self, acknowledgment: u32, stamp: &Stamp) {
        if !self.started {
            self.anchor(acknowledgment);
        }
        if !self.heard || self.position(acknowledgment) > self.acked() {
            self.acked = acknowledgment;
            self.heard = true;
            if self.has_unseen() {
                self.note_unseen(stamp);
            }
        }
    }

    #[cold]
    fn note_unseen(&mut self, stamp: &Stamp) {
        self.unusual.get_or_insert_default().acked_unseen = Some((stamp.at, stamp.clock));
    }

    /// Notes where its sender stood at a time: what comes before was sent, whether it was seen or not.
    pub(super) fn stands(&mut self, sequence: u32, stamp: &Stamp) {
        if !self.started {
            self.anchor(sequence);
        } else if self.position(sequence) > self.next {
            self.acknowledge(sequence, stamp);
        }
    }

    /// Whether the peer acknowledged more than was read.
    fn has_unseen(&self) -> bool {
        !self.started || self.acked() > self.next
    }

    /// When the peer last acknowledged bytes that were not seen, and by which clock.
    pub(super) fn acked_unseen(&self) -> Option<(Timestamp, ClockId)> {
        self.unusual.as_ref()?.acked_unseen
    }

    /// The position up to which the peer acknowledged.
    pub(super) fn acked(&self) -> u64 {
        self.position(self.acked)
    }

    /// Moves on behind so many bytes.
    #[inline]
    pub(super) fn advance(&mut self, length: u64) {
        self.next += length;
        #[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are the sequence number")]
        let next = self.next as u32;
        // Of bytes that nobody acknowledges, more than half the sequence space would look as if they were to come.
        if (LAG..1 << 31).contains(&next.wrapping_sub(self.acked)) {
            self.acked = next.wrapping_sub(LAG);
        }
    }

    /// Whether no byte after the SYN has come.
    pub(super) fn is_untouched(&self) -> bool {
        let begin = self.initial.map(|initial| self.position(initial.wrapping_add(1)));
        self.is_clear() && Some(self.next) == begin
    }

    /// Whether its bytes come one after another: none is missing, waits or is the last.
    #[inline]
    pub(super) fn is_flowing(&self) -> bool {
        self.started && self.unusual.is_none() && !self.stalled && self.watched == Watched::No
    }

    /// Whether nothing waits.
    pub(super) fn is_clear(&self) -> bool {
        self.pending().is_none()
    }

    fn pending(&self) -> Option<&Pending> {
        self.unusual.as_ref().map(|unusual| &unusual.pending).filter(|pending| !pending.pieces.is_empty())
    }

    /// The first FIN.
    pub(super) fn fin(&self) -> Option<Fin> {
        self.unusual.as_ref()?.fin
    }

    /// Notes a FIN, if it is the first.
    pub(super) fn close(&mut self, fin: Fin) {
        let first = &mut self.unusual.get_or_insert_default().fin;
        if first.is_none_or(|first| fin.at < first.at) {
            *first = Some(fin);
        }
    }

    /// Whether the end was told to the reader.
    pub(super) fn has_ended(&self) -> bool {
        self.unusual.as_ref().is_some_and(|unusual| unusual.ended)
    }

    /// The end was told.
    pub(super) fn end(&mut self) {
        self.unusual.get_or_insert_default().ended = true;
    }

    /// Whether the peer has acknowledged bytes that were never seen.
    pub(super) fn is_missing(&self) -> bool {
        let end = match self.fin() {
            Some(fin) if self.acked() == fin.position + 1 => fin.position,
            _ => self.acked(),
        };
        self.heard && self.started && !self.stalled && end > self.next && self.first_pending() != Some(self.next)
    }

    /// Whether bytes wait for others that were not seen.
    pub(super) fn is_stuck(&self) -> bool {
        !self.stalled && (!self.is_clear() && (!self.started || self.first_pending() != Some(self.next)))
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let Some(unusual) = &self.unusual else { return 0 };
        let Pending { pieces, bytes } = &unusual.pending;
        block(size_of::<Unusual>()) + bytes + GRAIN * pieces.len() + NODE * pieces.len().div_ceil(TAKEN)
    }

    /// Whether more waits than should.
    pub(super) fn is_overfull(&self) -> bool {
        self.pending().is_some_and(|p| p.bytes > PENDING_BYTES || p.pieces.len() > PENDING_PIECES)
    }

    /// Where the first waiting piece begins.
    pub(super) fn first_pending(&self) -> Option<u64> {
        self.pending()?.pieces.keys().next().copied()
    }

    /// The first bytes of every piece that waits, in order.
    pub(super) fn peek(&self) -> impl Iterator<Item = &[u8]> {
        self.pending().into_iter().flat_map(|pending| pending.pieces.values()).map(|piece| &*piece.bytes)
    }

    /// Keeps bytes for later, where no copy of them is kept yet. Tells whether a second copy differs from the first.
    pub(super) fn keep(&mut self, start: u64, bytes: &[u8], length: u64, stamp: Stamp) -> bool {
        let mut conflict = false;
        let captured = start + bytes.len() as u64;
        if !bytes.is_empty() {
            conflict = self.keep_run(start, captured, Some(bytes), stamp);
        }
        if start + length > captured {
            self.keep_run(captured, start + length, None, stamp);
        }
        conflict
    }

    fn keep_run(&mut self, start: u64, end: u64, bytes: Option<&[u8]>, stamp: Stamp) -> bool {
        let floor = if self.started { self.next } else { 0 };
        let (mut conflict, mut at) = (false, start.max(floor));
        let slice = |from: u64, to: u64| -> &[u8] {
            let offset = |position: u64| usize::try_from(position - start).unwrap_or(usize::MAX);
            bytes.map_or(&[], |bytes| &bytes[offset(from)..offset(to)])
        };
        let pending = &mut self.unusual.get_or_insert_default().pending;
        while at < end {
            // The piece that covers `at`, or else the free run up to the next piece.
            let before = pending.pieces.range(..=at).next_back();
            if let Some((&from, piece)) = before.filter(|(from, piece)| *from + piece.length > at) {
                let to = end.min(from + piece.length);
                if bytes.is_some() && piece.is_cut() {
                    pending.uncover(from, at, to);
                    continue;
                }
                if bytes.is_some() {
                    let offset = |position: u64| usize::try_from(position - from).unwrap_or(usize::MAX);
                    conflict |= piece.bytes[offset(at)..offset(to)] != *slice(at, to);
                }
                at = to;
                continue;
            }
            let to = pending.pieces.range(at..).next().map_or(end, |(&next, _)| next.min(end));
            let kept = slice(at, to).to_vec();
            pending.bytes += kept.len();
            pending.pieces.insert(at, Piece { bytes: kept, length: to - at, stamp });
            at = to;
        }
        self.tidy();
        conflict
    }

    /// Takes what comes next, if it is there.
    pub(super) fn take(&mut self) -> Option<Ready> {
        let next = self.next;
        let pending = &mut self.unusual.as_mut()?.pending;
        let entry = pending.pieces.first_entry()?;
        if *entry.key() != next {
            return None;
        }
        let piece = entry.remove();
        pending.bytes -= piece.bytes.len();
        self.tidy();
        Some(if piece.is_cut() { Ready::Cut(piece.length) } else { Ready::Bytes(piece) })
    }

    /// Stamp of the piece that comes next.
    pub(super) fn next_stamp(&self) -> Option<Stamp> {
        self.pending()?.pieces.get(&self.next).map(|piece| piece.stamp)
    }

    /// Goes on from a position, with what waits from there on. Says how far that is.
    pub(super) fn skip(&mut self, position: u64) -> u64 {
        let length = position.saturating_sub(self.next);
        self.advance(length);
        self.stalled &= length == 0;
        if let Some(unusual) = &mut self.unusual {
            unusual.pending.drop_before(position);
        }
        self.tidy();
        length
    }

    /// Throws away what waits.
    pub(super) fn clear(&mut self) {
        if let Some(unusual) = &mut self.unusual {
            mem::take(&mut unusual.pending);
        }
        self.tidy();
    }

    /// Takes no more room than what is there needs.
    pub(super) fn tidy(&mut self) {
        if self.is_clear() && self.fin().is_none() && !self.has_unseen() {
            self.unusual = None;
        }
    }
}
