//! One direction of a connection: which byte comes next, and the pieces that wait for it (RFC 9293 3.4, 3.10.7.4).
//!
//! The first copy of a byte wins. Positions are sequence numbers unwrapped to 64 bits, so that comparisons are plain.

use std::collections::BTreeMap;

use super::Stamp;
use crate::engine::time::Timestamp;

/// Pieces and bytes that may wait in one direction. Beyond it the oldest hole is given up as a gap.
pub(super) const PENDING_BYTES: usize = 512 << 10;
const PENDING_PIECES: usize = 2048;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Position of the next byte to deliver; its low 32 bits are the sequence number. Meaningless until `started`.
    pub(super) next: u64,
    /// Position up to which bytes were read, not only counted.
    pub(super) read: u64,
    /// Position up to which the peer acknowledged.
    pub(super) acked: u64,
    /// The first FIN.
    pub(super) fin: Option<Fin>,
    /// Initial sequence number, once the SYN was seen.
    pub(super) initial: Option<u32>,
    /// Whether `next` is known.
    pub(super) started: bool,
    /// Whether the peer acknowledged anything.
    pub(super) heard: bool,
    /// Whether the reader declined to take more for now.
    pub(super) stalled: bool,
    /// Whether the end was told to the reader.
    pub(super) ended: bool,
    /// Whether a timer watches this flow.
    pub(super) watched: Watched,
    pending: Option<Box<Pending>>,
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

    /// Sets where the flow begins.
    pub(super) fn start(&mut self, sequence: u32) {
        // One turn of the sequence space up, so that positions before the start do not fall below zero.
        self.next = u64::from(sequence) + (1 << 32);
        self.started = true;
    }

    /// Gives an unstarted flow a reference for [`Self::position`], without claiming that it begins there.
    pub(super) fn anchor(&mut self, sequence: u32) {
        if self.next == 0 {
            self.next = u64::from(sequence) + (1 << 32);
        }
    }

    /// Notes what the peer acknowledged.
    pub(super) fn acknowledge(&mut self, acknowledgment: u32) {
        if !self.started {
            self.anchor(acknowledgment);
        }
        let position = self.position(acknowledgment);
        if !self.heard || position > self.acked {
            self.acked = position;
            self.heard = true;
        }
    }

    /// Whether no byte after the SYN has come.
    pub(super) fn is_untouched(&self) -> bool {
        let initial = self.initial.map(|initial| u64::from(initial.wrapping_add(1)) + (1 << 32));
        self.is_clear() && Some(self.next) == initial
    }

    /// Whether nothing waits.
    pub(super) fn is_clear(&self) -> bool {
        self.pending.is_none()
    }

    /// Whether the peer has acknowledged bytes that were never seen.
    pub(super) fn is_missing(&self) -> bool {
        let end = match self.fin {
            Some(fin) if self.acked == fin.position + 1 => fin.position,
            _ => self.acked,
        };
        self.heard && self.started && !self.stalled && end > self.next && self.first_pending() != Some(self.next)
    }

    /// Whether bytes wait for others that were not seen.
    pub(super) fn is_stuck(&self) -> bool {
        !self.stalled && (self.pending.is_some() && (!self.started || self.first_pending() != Some(self.next)))
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.bytes + 96 * pending.pieces.len())
    }

    /// Whether more waits than should.
    pub(super) fn is_overfull(&self) -> bool {
        self.pending.as_ref().is_some_and(|p| p.bytes > PENDING_BYTES || p.pieces.len() > PENDING_PIECES)
    }

    /// Where the first waiting piece begins.
    pub(super) fn first_pending(&self) -> Option<u64> {
        self.pending.as_ref()?.pieces.keys().next().copied()
    }

    /// The first bytes of every piece that waits, in order.
    pub(super) fn peek(&self) -> impl Iterator<Item = &[u8]> {
        self.pending.iter().flat_map(|pending| pending.pieces.values()).map(|piece| &*piece.bytes)
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
        let pending = self.pending.get_or_insert_default();
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
        if pending.pieces.is_empty() {
            self.pending = None;
        }
        conflict
    }

    /// Takes what comes next, if it is there.
    pub(super) fn take(&mut self) -> Option<Ready> {
        let next = self.next;
        let pending = self.pending.as_mut()?;
        let entry = pending.pieces.first_entry()?;
        if *entry.key() != next {
            return None;
        }
        let piece = entry.remove();
        pending.bytes -= piece.bytes.len();
        if pending.pieces.is_empty() {
            self.pending = None;
        }
        Some(if piece.is_cut() { Ready::Cut(piece.length) } else { Ready::Bytes(piece) })
    }

    /// Stamp of the piece that comes next.
    pub(super) fn next_stamp(&self) -> Option<Stamp> {
        self.pending.as_ref()?.pieces.get(&self.next).map(|piece| piece.stamp)
    }

    /// Goes on from a position, with what waits from there on. Says how far that is.
    pub(super) fn skip(&mut self, position: u64) -> u64 {
        let length = position.saturating_sub(self.next);
        self.next += length;
        self.stalled &= length == 0;
        if let Some(pending) = &mut self.pending {
            pending.drop_before(position);
            if pending.pieces.is_empty() {
                self.pending = None;
            }
        }
        length
    }

    /// Throws away what waits.
    pub(super) fn clear(&mut self) {
        self.pending = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        let mut flow = Flow::default();
        flow.start(u32::MAX - 2);
        flow
    }

    fn drain(flow: &mut Flow) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(Ready::Bytes(piece)) = flow.take() {
            flow.next += piece.length;
            all.extend(piece.bytes);
        }
        all
    }

    #[test]
    fn pieces_come_out_in_order_across_the_wrap_of_the_sequence_space() {
        let mut flow = flow();
        for (sequence, bytes) in [(3u32, &b"ghi"[..]), (u32::MAX - 2, b"abc"), (0, b"def"), (1, b"e")] {
            let at = flow.position(sequence);
            assert!(!flow.keep(at, bytes, bytes.len() as u64, Stamp::default()));
        }
        assert_eq!(drain(&mut flow), b"abcdefghi");
        assert!(flow.is_clear());
    }

    #[test]
    fn the_first_copy_wins_and_a_different_second_one_is_told() {
        let mut flow = flow();
        let base = flow.next;
        assert!(!flow.keep(base + 2, b"cd", 2, Stamp::default()));
        assert!(flow.keep(base, b"abXYef", 6, Stamp::default()));
        assert_eq!(drain(&mut flow), b"abcdef");
    }

    #[test]
    fn a_cut_segment_leaves_a_cut_run_until_a_whole_copy_comes() {
        let mut flow = flow();
        let base = flow.next;
        flow.keep(base, b"ab", 5, Stamp::default());
        flow.keep(base, b"abcd", 5, Stamp::default());
        let mut taken = Vec::new();
        while let Some(ready) = flow.take() {
            flow.next += match &ready {
                Ready::Bytes(piece) => piece.length,
                Ready::Cut(length) => *length,
            };
            taken.push(match ready {
                Ready::Bytes(piece) => Ok(piece.bytes),
                Ready::Cut(length) => Err(length),
            });
        }
        assert_eq!(taken, [Ok(b"ab".to_vec()), Ok(b"cd".to_vec()), Err(1)]);
    }
}
