//! The chunked transfer coding (RFC 9112 7.1), followed to find where the message ends.

/// How far a chunked body was followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Chunked {
    /// In the hexadecimal size: its value so far, and whether it has a digit yet.
    Size(u64, bool),
    /// In an extension, up to the line's end.
    Extension(u64),
    /// In the data, with so many bytes to come.
    Data(u64),
    /// In the line's end after the data.
    DataEnd,
    /// At the start of a trailer line.
    TrailerStart,
    /// Inside a trailer line.
    Trailer,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// All bytes belong to the body, which goes on.
    More,
    /// The body ended after so many bytes.
    Ended(usize),
    /// This is no chunked body.
    Bad,
}

impl Chunked {
    /// At the start of the body.
    pub(super) const START: Self = Self::Size(0, false);

    /// Follows `bytes`, and hands on what of them is data.
    pub(super) fn follow(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> Step {
        let mut at = 0;
        while at < bytes.len() {
            if let Self::Data(left) = *self {
                let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                data(&bytes[at..at + skipped]);
                at += skipped;
                *self = Self::Data(left - skipped as u64).settled();
                continue;
            }
            match self.byte(bytes[at]) {
                Some(true) => return Step::Ended(at + 1),
                Some(false) => at += 1,
                None => return Step::Bad,
            }
        }
        Step::More
    }

    fn settled(self) -> Self {
        if self == Self::Data(0) { Self::DataEnd } else { self }
    }

    /// Takes one byte outside chunk data; true when it was the last of the body, `None` when it is not allowed.
    fn byte(&mut self, byte: u8) -> Option<bool> {
        let after_size = |size| if size == 0 { Self::TrailerStart } else { Self::Data(size) };
        *self = match (*self, byte) {
            (Self::Size(size, _), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = u64::from(char::from(byte).to_digit(16)?);
                Self::Size(size.checked_mul(16)?.checked_add(digit)?, true)
            }
            (Self::Size(size, true) | Self::Extension(size), b'\n') => after_size(size),
            (Self::Size(size, true), b';' | b' ' | b'\t' | b'\r') => Self::Extension(size),
            (Self::Extension(size), _) => Self::Extension(size),
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::START,
            (Self::TrailerStart, b'\n') => return Some(true),
            (Self::TrailerStart, b'\r') => Self::TrailerStart,
            (Self::Trailer, b'\n') => Self::TrailerStart,
            (Self::TrailerStart | Self::Trailer, _) => Self::Trailer,
            _ => return None,
        };
        Some(false)
    }

    /// Skips bytes that were not captured; true when they all lie inside one chunk's data.
    pub(super) fn skip(&mut self, length: u64) -> bool {
        match *self {
            Self::Data(left) if length > 0 && length <= left => {
                *self = Self::Data(left - length).settled();
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(bytes: &[u8]) -> Step {
        let mut state = Chunked::START;
        state.follow(bytes, |_| {})
    }

    #[test]
    fn the_end_is_the_same_however_the_bytes_are_cut() {
        let body = b"4;a=b\r\nWiki\r\n5\r\npedia\r\n0\r\nTrailer: x\r\n\r\n";
        let all = [&body[..], b"HTTP/1.1"].concat();
        assert_eq!(follow(&all), Step::Ended(body.len()));
        for cut in 0..body.len() {
            let (mut state, mut data) = (Chunked::START, Vec::new());
            assert_eq!(state.follow(&all[..cut], |part| data.extend_from_slice(part)), Step::More);
            let rest = state.follow(&all[cut..], |part| data.extend_from_slice(part));
            assert_eq!((rest, &*data), (Step::Ended(body.len() - cut), &b"Wikipedia"[..]), "cut at {cut}");
        }
    }

    #[test]
    fn sizes_out_of_range_and_garbage_are_refused() {
        for bad in ["ffffffffffffffff0\r\n", "\r\n", "x\r\n", "3\r\nabcd"] {
            assert_eq!(follow(bad.as_bytes()), Step::Bad, "{bad:?}");
        }
        assert_eq!(follow(b"ffffffffffffffff\r\nx"), Step::More);
    }
}
