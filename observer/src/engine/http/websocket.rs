//! WebSocket frame headers (RFC 6455 5.2) of one direction, followed without keeping payload.

use crate::engine::{event::FirstBytes, memory::block};

/// Longest beginning of a frame that tells all that is told of it: a header of two bytes, eight of length, four of mask. That of
/// a Close frame is short, so that its status code has room behind it.
const MAX_BEGINNING: usize = 14;

/// A control or data frame's kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opcode {
    /// Continuation, text or binary.
    Data,
    /// Close, with its status code where it has one.
    Close(Option<u16>),
    /// Ping.
    Ping,
    /// Pong.
    Pong,
}

/// Where a direction stands in its frames. 16 bytes: every hop of a tunnel has two.
#[derive(Clone, Debug, Default)]
pub(super) enum Follower {
    /// Before a frame.
    #[default]
    Between,
    /// Before so many bytes of payload.
    Payload(u64),
    /// In a frame's beginning, of which these bytes are there.
    Begun(Box<Beginning>),
    /// Frame boundaries are no longer known.
    Lost,
}

/// The first bytes of a frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Beginning {
    bytes: [u8; MAX_BEGINNING],
    have: u8,
}

/// Bytes that are no frame where one should begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wrong {
    pub(super) what: &'static str,
    /// The first of them.
    pub(super) bytes: Vec<u8>,
}

/// What a frame's beginning tells.
struct Begun {
    opcode: Opcode,
    /// How long it is.
    length: usize,
    /// Payload behind it.
    left: u64,
}

impl Follower {
    /// Bytes that it refers to.
    pub(super) fn memory(&self) -> usize {
        if let Self::Begun(_) = self { block(size_of::<Beginning>()) } else { 0 }
    }

    /// Whether frame boundaries are no longer known.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost)
    }

    /// Whether it stands in a frame's beginning.
    pub(super) fn has_begun(&self) -> bool {
        matches!(self, Self::Begun(_))
    }

    /// Skips bytes that were not captured.
    pub(super) fn skip(&mut self, length: u64) {
        *self = match self {
            Self::Payload(left) if length > 0 && length <= *left => Self::before(*left - length),
            _ => Self::Lost,
        };
    }

    /// Bytes up to the next header; `None` where that is not known.
    pub(super) fn to_header(&self) -> Option<u64> {
        match self {
            Self::Between => Some(0),
            Self::Payload(left) => Some(*left),
            Self::Begun(_) | Self::Lost => None,
        }
    }

    /// Goes on behind bytes that somebody else followed, with so many to the next header.
    pub(super) fn jump(&mut self, length: u64, to_header: Option<u64>) {
        match to_header {
            Some(_) if self.is_lost() => {}
            Some(left) => *self = Self::before(left),
            None if length > 0 => self.skip(length),
            None => {}
        }
    }

    /// Follows bytes and tells every frame, once its header (for Close, its code) is complete, or what is wrong.
    pub(super) fn follow(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Result<Opcode, Wrong>)) {
        while !bytes.is_empty() {
            match self {
                Self::Lost => return,
                Self::Payload(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *self = Self::before(*left - taken as u64);
                    bytes = &bytes[taken..];
                }
                Self::Between => match begin(bytes) {
                    Some(begun) => bytes = &bytes[self.enter(begun, &[], bytes, &mut tell)..],
                    None => *self = Self::Begun(Box::default()),
                },
                Self::Begun(beginning) => {
                    beginning.bytes[usize::from(beginning.have)] = bytes[0];
                    beginning.have += 1;
                    bytes = &bytes[1..];
                    let have = beginning.have;
                    if let Some(begun) = begin(&beginning.bytes[..usize::from(have)]) {
                        let before = beginning.bytes;
                        self.enter(begun, &before[..usize::from(have)], bytes, &mut tell);
                    }
                }
            }
        }
    }

    fn before(left: u64) -> Self {
        if left == 0 { Self::Between } else { Self::Payload(left) }
    }

    /// Goes on behind a frame's beginning, and says how long that is. Where it is none, its first bytes are those `before`, and
    /// the `rest`.
    fn enter(
        &mut self,
        begun: Result<Begun, &'static str>,
        before: &[u8],
        rest: &[u8],
        tell: &mut impl FnMut(Result<Opcode, Wrong>),
    ) -> usize {
        match begun {
            Ok(begun) => {
                *self = Self::before(begun.left);
                tell(Ok(begun.opcode));
                begun.length
            }
            Err(what) => {
                *self = Self::Lost;
                let rest = &rest[..rest.len().min(FirstBytes::KEPT - before.len())];
                tell(Err(Wrong { what, bytes: [before, rest].concat() }));
                0
            }
        }
    }
}

/// Reads the beginning of a frame; `None` while bytes of it are missing.
fn begin(bytes: &[u8]) -> Option<Result<Begun, &'static str>> {
    let &[first, second, ..] = bytes else { return None };
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    let (head, left) = match second & 0x7f {
        126 => (4, u64::from(u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?)),
        short => (2, u64::from(short)),
    };
    let length = head + mask;
    let header = bytes.get(..length)?;
    if left >> 63 != 0 {
        return Some(Err("payload length of 2^63 or more"));
    }
    let code = first & 0x0f;
    if code >= 8 && (left > 125 || first & 0x80 == 0) {
        return Some(Err("control frame that is long or fragmented"));
    }
    let opcode = match code {
        0..=2 => Opcode::Data,
        8 if left < 2 => Opcode::Close(None),
        8 => {
            let masked: [u8; 2] = *bytes.get(length..length + 2)?.first_chunk()?;
            let mask = header.get(2..4).map_or([0; 2], |mask| [mask[0], mask[1]]);
            let status = u16::from_be_bytes(masked) ^ u16::from_be_bytes(mask);
            return Some(Ok(Begun { opcode: Opcode::Close(Some(status)), length: length + 2, left: left - 2 }));
        }
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Some(Err("reserved opcode")),
    };
    Some(Ok(Begun { opcode, length, left }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], cut: usize) -> Vec<Result<Opcode, &'static str>> {
        let (mut follower, mut told) = (Follower::default(), Vec::new());
        let mut tell = |frame: Result<Opcode, Wrong>| told.push(frame.map_err(|wrong| wrong.what));
        follower.follow(&bytes[..cut], &mut tell);
        follower.follow(&bytes[cut..], &mut tell);
        told
    }

    #[test]
    fn frames_are_the_same_however_the_bytes_are_cut() {
        let bytes = [
            &[0x81, 0x02, b'h', b'i'][..],
            &[0x89, 0x80, 1, 2, 3, 4],
            &[0x82, 126, 0, 3, 1, 2, 3],
            &[0x8a, 0x00],
            &[0x88, 0x84, 1, 2, 3, 4, 0x03 ^ 1, 0xe9 ^ 2, 0, 0],
        ]
        .concat();
        let expected = [Opcode::Data, Opcode::Ping, Opcode::Data, Opcode::Pong, Opcode::Close(Some(1001))].map(Ok);
        for cut in 0..=bytes.len() {
            assert_eq!(all(&bytes, cut), expected, "cut at {cut}");
        }
    }

    #[test]
    fn impossible_frames_end_the_following() {
        assert_eq!(all(&[0x83, 0x00, 0x81, 0x00], 0), [Err("reserved opcode")]);
        assert_eq!(all(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], 0), [Err("payload length of 2^63 or more")]);
        assert_eq!(all(&[0x09, 0x00], 0), [Err("control frame that is long or fragmented")]);
    }

    #[test]
    fn a_gap_inside_data_is_bridged_and_another_is_not() {
        let (mut follower, mut count) = (Follower::default(), 0);
        follower.follow(&[0x82, 10, 1, 2], |_| count += 1);
        follower.skip(8);
        follower.follow(&[0x89, 0x00], |_| count += 1);
        assert_eq!((count, follower.is_lost()), (2, false));
        follower.skip(1);
        assert!(follower.is_lost());
    }
}
