//! WebSocket frame headers (RFC 6455 5.2) of one direction, followed without keeping payload.

/// Longest frame header: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;

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

/// Where a direction stands in its frames. 32 bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Follower {
    header: [u8; MAX_HEADER],
    /// Bytes of header that are there, then, for a Close frame, two of its payload as well.
    have: u8,
    code: [u8; 2],
    /// Payload bytes still to come.
    left: u64,
    in_payload: bool,
    lost: bool,
}

impl Follower {
    /// Whether frame boundaries are no longer known.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Skips bytes that were not captured.
    pub(super) fn skip(&mut self, length: u64) {
        let in_data = self.in_payload && self.header[0] & 0x0f != 8;
        if in_data && length > 0 && length <= self.left {
            self.left -= length;
            self.in_payload = self.left > 0;
        } else {
            self.lost = true;
        }
    }

    /// Bytes up to the next header; `None` in the middle of a header or of a Close frame.
    pub(super) fn to_header(&self) -> Option<u64> {
        let in_close = self.in_payload && self.header[0] & 0x0f == 8;
        (self.have == 0 && !in_close).then_some(self.left)
    }

    /// Goes on behind bytes that somebody else followed, with so many to the next header.
    pub(super) fn jump(&mut self, length: u64, to_header: Option<u64>) {
        match to_header {
            Some(left) => {
                *self = Self { left, in_payload: left > 0, lost: self.lost, ..Self::default() };
            }
            None if length > 0 => self.skip(length),
            None => {}
        }
    }

    /// Follows bytes and tells every frame, once its header (for Close, its code) is complete, or what is wrong.
    pub(super) fn follow(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Result<Opcode, &'static str>)) {
        while !self.lost && !bytes.is_empty() {
            if self.in_payload {
                bytes = self.payload(bytes, &mut tell);
                continue;
            }
            self.header[usize::from(self.have)] = bytes[0];
            self.have += 1;
            bytes = &bytes[1..];
            if usize::from(self.have) == self.header_length() {
                self.have = 0;
                if let Err(wrong) = self.begin(&mut tell) {
                    self.lost = true;
                    tell(Err(wrong));
                }
            }
        }
    }

    fn header_length(&self) -> usize {
        if self.have < 2 {
            return MAX_HEADER;
        }
        let length = match self.header[1] & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        length + if self.header[1] & 0x80 != 0 { 4 } else { 0 }
    }

    fn begin(&mut self, tell: &mut impl FnMut(Result<Opcode, &'static str>)) -> Result<(), &'static str> {
        let [first, second, a, b, c, d, e, f, g, h, ..] = self.header;
        self.left = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            short => u64::from(short),
        };
        if self.left >> 63 != 0 {
            return Err("payload length of 2^63 or more");
        }
        let opcode = first & 0x0f;
        if opcode >= 8 && (self.left > 125 || first & 0x80 == 0) {
            return Err("control frame that is long or fragmented");
        }
        self.in_payload = self.left > 0;
        match opcode {
            0..=2 => tell(Ok(Opcode::Data)),
            8 if self.left < 2 => tell(Ok(Opcode::Close(None))),
            8 => {}
            9 => tell(Ok(Opcode::Ping)),
            10 => tell(Ok(Opcode::Pong)),
            _ => return Err("reserved opcode"),
        }
        Ok(())
    }

    fn payload<'a>(&mut self, bytes: &'a [u8], tell: &mut impl FnMut(Result<Opcode, &'static str>)) -> &'a [u8] {
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        if self.header[0] & 0x0f == 8 {
            for &byte in &bytes[..taken] {
                let at = usize::from(self.have);
                if at < 2 {
                    self.code[at] = byte ^ self.mask(at);
                    self.have += 1;
                    if at == 1 {
                        tell(Ok(Opcode::Close(Some(u16::from_be_bytes(self.code)))));
                    }
                }
            }
        }
        self.left -= taken as u64;
        if self.left == 0 {
            self.in_payload = false;
            self.have = 0;
        }
        &bytes[taken..]
    }

    /// Byte `at` of the mask of a frame with a short length (RFC 6455 5.3); 0 without a mask.
    fn mask(&self, at: usize) -> u8 {
        if self.header[1] & 0x80 != 0 { self.header[2 + at] } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], cut: usize) -> Vec<Result<Opcode, &'static str>> {
        let (mut follower, mut told) = (Follower::default(), Vec::new());
        follower.follow(&bytes[..cut], |frame| told.push(frame));
        follower.follow(&bytes[cut..], |frame| told.push(frame));
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
