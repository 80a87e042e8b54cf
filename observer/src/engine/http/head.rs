//! Request and response heads (RFC 9112 2-5) and the framing that follows them (RFC 9112 6). Parsing is `httparse`'s.

use std::mem::MaybeUninit;

use httparse::{Header, Status};

use crate::engine::event::{Field, HttpVersion, Request, Response};

use super::super::tcp::Stamp;

/// Heads longer than this are not read.
pub const MAX_HEAD: usize = 64 << 10;
const USUAL_FIELDS: usize = 64;
const MAX_FIELDS: usize = 4096;

/// A parsed request head, borrowed from the wire.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a str,
    /// The request target.
    pub target: &'a str,
    /// The version.
    pub version: HttpVersion,
    /// The field lines.
    pub fields: &'a [Header<'a>],
    /// All of it, as sent.
    pub raw: &'a [u8],
    /// Where it begins.
    pub stamp: Stamp,
    /// False when its end was not captured.
    pub complete: bool,
}

/// A parsed response head, borrowed from the wire.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// The status code.
    pub status: u16,
    /// The version.
    pub version: HttpVersion,
    /// The reason phrase.
    pub reason: &'a str,
    /// The field lines.
    pub fields: &'a [Header<'a>],
    /// Where it begins.
    pub stamp: Stamp,
    /// False when its end was not captured.
    pub complete: bool,
}

/// What follows a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Everything until the connection closes.
    UntilClose,
    /// The fields contradict each other (RFC 9112 6.3): where the next message begins cannot be known.
    Contradiction,
}

/// Where the head at the start of `bytes` ends, if it does; `scanned` bytes were looked at before.
pub(super) fn end(bytes: &[u8], scanned: usize) -> Option<usize> {
    let from = scanned.saturating_sub(2);
    memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| from + at + 1).find_map(|next| match bytes[next..] {
        [b'\n', ..] => Some(next + 1),
        [b'\r', b'\n', ..] => Some(next + 2),
        _ => None,
    })
}

/// Where the head is that is to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    /// It is all of the bytes.
    All,
    /// It begins them, and may end anywhere, or not yet.
    Beginning,
}

impl Within {
    /// How many bytes the head takes, by what the parser says.
    fn length(self, bytes: &[u8], parsed: httparse::Result<usize>) -> Option<usize> {
        match (parsed, self) {
            (Ok(Status::Complete(length)), Self::Beginning) => Some(length),
            (Ok(_), Self::All) => Some(bytes.len()),
            _ => None,
        }
    }
}

/// Reads the request head that `bytes` begin with, and tells where it ends. Where it does not, or is unusual in any way, that
/// is `None`, and [`end`] and [`request`] are to be asked.
pub(super) fn first_request(bytes: &[u8], stamp: Stamp, then: impl FnOnce(&RequestHead<'_>)) -> Option<usize> {
    strict_request(bytes, Within::Beginning, stamp, true, then).ok().map(|((), end)| end)
}

/// As [`first_request`].
pub(super) fn first_response(bytes: &[u8], stamp: Stamp, then: impl FnOnce(&ResponseHead<'_>)) -> Option<usize> {
    strict_response(bytes, Within::Beginning, stamp, true, then).ok().map(|((), end)| end)
}

/// Reads a request head and hands it to `then`. `None` when it is none. Control characters in field values, which some
/// servers let pass, are read as U+FFFD.
pub fn request<T>(raw: &[u8], stamp: Stamp, complete: bool, then: impl FnOnce(&RequestHead<'_>) -> T) -> Option<T> {
    let read = match strict_request(raw, Within::All, stamp, complete, then) {
        Ok(read) => Ok(read),
        Err(then) => strict_request(&without_controls(raw), Within::All, stamp, complete, then),
    };
    read.ok().map(|(result, _)| result)
}

/// A copy in which control characters are bytes that are no UTF-8.
fn without_controls(raw: &[u8]) -> Vec<u8> {
    let is_control = |byte: u8| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n');
    raw.iter().map(|byte| if is_control(*byte) { 0xff } else { *byte }).collect()
}

fn strict_request<T, F: FnOnce(&RequestHead<'_>) -> T>(
    raw: &[u8],
    within: Within,
    stamp: Stamp,
    complete: bool,
    then: F,
) -> Result<(T, usize), F> {
    let mut usual = [const { MaybeUninit::uninit() }; USUAL_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    let mut many;
    let mut result = parsed.parse_with_uninit_headers(raw, &mut usual);
    if result == Err(httparse::Error::TooManyHeaders) {
        many = vec![MaybeUninit::uninit(); MAX_FIELDS];
        parsed = httparse::Request::new(&mut []);
        result = parsed.parse_with_uninit_headers(raw, &mut many);
    }
    let length = within.length(raw, result);
    let (Some(length), Some(method), Some(target), Some(minor)) = (length, parsed.method, parsed.path, parsed.version)
    else {
        return Err(then);
    };
    let (version, raw) = (version(minor), &raw[..length]);
    Ok((then(&RequestHead { method, target, version, fields: parsed.headers, raw, stamp, complete }), length))
}

/// Reads a response head and hands it to `then`, as [`request`] does.
pub fn response<T>(raw: &[u8], stamp: Stamp, complete: bool, then: impl FnOnce(&ResponseHead<'_>) -> T) -> Option<T> {
    let read = match strict_response(raw, Within::All, stamp, complete, then) {
        Ok(read) => Ok(read),
        Err(then) => strict_response(&without_controls(raw), Within::All, stamp, complete, then),
    };
    read.ok().map(|(result, _)| result)
}

fn strict_response<T, F: FnOnce(&ResponseHead<'_>) -> T>(
    raw: &[u8],
    within: Within,
    stamp: Stamp,
    complete: bool,
    then: F,
) -> Result<(T, usize), F> {
    let mut usual = [const { MaybeUninit::uninit() }; USUAL_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let lenient = || {
        let mut config = httparse::ParserConfig::default();
        config.allow_obsolete_multiline_headers_in_responses(true);
        config.allow_spaces_after_header_name_in_responses(true);
        config
    };
    let mut many;
    let mut result = lenient().parse_response_with_uninit_headers(&mut parsed, raw, &mut usual);
    if result == Err(httparse::Error::TooManyHeaders) {
        many = vec![MaybeUninit::uninit(); MAX_FIELDS];
        parsed = httparse::Response::new(&mut []);
        result = lenient().parse_response_with_uninit_headers(&mut parsed, raw, &mut many);
    }
    let length = within.length(raw, result);
    let (Some(length), Some(status), Some(minor)) = (length, parsed.code, parsed.version) else { return Err(then) };
    let (version, reason) = (version(minor), parsed.reason.unwrap_or(""));
    Ok((then(&ResponseHead { status, version, reason, fields: parsed.headers, stamp, complete }), length))
}

fn version(minor: u8) -> HttpVersion {
    if minor == 0 { HttpVersion::Http10 } else { HttpVersion::Http11 }
}

/// The whole lines of a head whose end is missing, closed so that it can be read.
pub(super) fn closed(partial: &[u8]) -> Option<Vec<u8>> {
    let lines = memchr::memrchr(b'\n', partial)?;
    Some([&partial[..=lines], b"\r\n"].concat())
}

/// The values of a field's lines.
pub fn values<'a>(fields: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

/// Whether a field is there.
pub fn has(fields: &[Header<'_>], name: &str) -> bool {
    fields.iter().any(|field| field.name.eq_ignore_ascii_case(name))
}

impl RequestHead<'_> {
    /// Whether it asks for another protocol, in however broken a way.
    #[must_use]
    pub fn is_upgrade_like(&self) -> bool {
        self.fields.iter().any(|field| {
            field.name.eq_ignore_ascii_case("upgrade") || field.name.eq_ignore_ascii_case("sec-websocket-key")
        })
    }

    /// What follows this head (RFC 9112 6.3).
    pub(super) fn framing(&self) -> Framing {
        if has(self.fields, "transfer-encoding") {
            let chunked = values(self.fields, "transfer-encoding").any(ends_chunked);
            return if chunked { Framing::Chunked } else { Framing::Contradiction };
        }
        match content_length(self.fields) {
            Ok(length) => Framing::Length(length.unwrap_or(0)),
            Err(()) => Framing::Contradiction,
        }
    }

    /// A copy to keep.
    #[must_use]
    pub fn to_owned(&self) -> Request {
        Request {
            frame: self.stamp.frame,
            at: self.stamp.at,
            method: self.method.into(),
            target: self.target.into(),
            version: self.version,
            fields: owned(self.fields),
            complete: self.complete,
        }
    }
}

impl ResponseHead<'_> {
    /// What follows this head (RFC 9112 6.3), given that its request was not HEAD or a successful CONNECT.
    pub(super) fn framing(&self) -> Framing {
        if matches!(self.status, 100..=199 | 204 | 304) {
            return Framing::Length(0);
        }
        if has(self.fields, "transfer-encoding") {
            let chunked = values(self.fields, "transfer-encoding").any(ends_chunked);
            return if chunked { Framing::Chunked } else { Framing::UntilClose };
        }
        match content_length(self.fields) {
            Ok(Some(length)) => Framing::Length(length),
            Ok(None) => Framing::UntilClose,
            Err(()) => Framing::Contradiction,
        }
    }

    /// A copy to keep.
    #[must_use]
    pub fn to_owned(&self) -> Response {
        Response {
            frame: self.stamp.frame,
            at: self.stamp.at,
            status: self.status,
            version: self.version,
            reason: self.reason.into(),
            fields: owned(self.fields),
            complete: self.complete,
            body: None,
        }
    }

    /// Its status line's facts alone, in a copy that costs no allocation.
    #[must_use]
    pub fn without_fields(&self) -> Response {
        Response {
            frame: self.stamp.frame,
            at: self.stamp.at,
            status: self.status,
            version: self.version,
            reason: Box::default(),
            fields: Vec::new(),
            complete: false,
            body: None,
        }
    }
}

fn owned(fields: &[Header<'_>]) -> Vec<Field> {
    let value = |value| String::from_utf8_lossy(value).trim().into();
    fields.iter().map(|field| Field { name: field.name.into(), value: value(field.value) }).collect()
}

/// Whether the last transfer coding is chunked.
fn ends_chunked(value: &[u8]) -> bool {
    value.rsplit(|byte| *byte == b',').next().is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// Content-Length; equal repetitions are one (RFC 9112 6.3), anything else is an error.
fn content_length(fields: &[Header<'_>]) -> Result<Option<u64>, ()> {
    let mut all = values(fields, "content-length");
    let Some(first) = all.next() else { return Ok(None) };
    if all.next().is_none()
        && let Some(length) = digits(first)
    {
        return Ok(Some(length));
    }
    let mut length = None;
    for value in values(fields, "content-length").flat_map(|value| value.split(|byte| *byte == b',')) {
        let digits = std::str::from_utf8(value.trim_ascii()).map_err(drop)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(());
        }
        let next = digits.parse::<u64>().map_err(drop)?;
        if length.is_some_and(|length| length != next) {
            return Err(());
        }
        length = Some(next);
    }
    Ok(length)
}

/// A number of a usual length, without anything around it.
fn digits(value: &[u8]) -> Option<u64> {
    let add = |sum: u64, byte: &u8| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'));
    if value.is_empty() || value.len() > 18 { None } else { value.iter().try_fold(0, add) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::redundant_closure_for_method_calls, reason = "the methods' paths are not general over lifetimes")]
    fn check_framing(raw: &str, expected: Framing) {
        let framing = if raw.starts_with("HTTP/") {
            response(raw.as_bytes(), Stamp::default(), true, |head| head.framing())
        } else {
            request(raw.as_bytes(), Stamp::default(), true, |head| head.framing())
        };
        assert_eq!(framing, Some(expected), "{raw:?}");
    }

    #[test]
    fn framing_follows_rfc_9112() {
        check_framing("GET / HTTP/1.1\r\n\r\n", Framing::Length(0));
        check_framing("POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\n", Framing::Length(7));
        check_framing("POST / HTTP/1.1\r\nContent-Length: 7, 7\r\n\r\n", Framing::Length(7));
        check_framing("POST / HTTP/1.1\r\nContent-Length: 7\r\nContent-Length: 8\r\n\r\n", Framing::Contradiction);
        check_framing("POST / HTTP/1.1\r\nContent-Length: +7\r\n\r\n", Framing::Contradiction);
        check_framing("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", Framing::Contradiction);
        check_framing("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Framing::Chunked);
        check_framing("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", Framing::Contradiction);
        check_framing("HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose);
        check_framing("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", Framing::Length(0));
        check_framing("HTTP/1.1 101 UPGRADED\r\nContent-Length: 7\r\n\r\n", Framing::Length(0));
        check_framing("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n", Framing::Chunked);
    }

    #[test]
    fn the_end_is_found_wherever_the_search_left_off() {
        for raw in ["GET / HTTP/1.1\r\nA: b\r\n\r\nrest", "GET / HTTP/1.1\nA: b\n\nrest"] {
            let whole = end(raw.as_bytes(), 0).expect("there is an end");
            assert_eq!(&raw[whole..], "rest");
            for cut in 0..raw.len() {
                let first = end(&raw.as_bytes()[..cut], 0);
                assert_eq!(first.or_else(|| end(raw.as_bytes(), cut)), Some(whole), "cut at {cut}");
            }
        }
    }

    #[test]
    fn many_fields_are_read_and_too_many_are_not() {
        let head = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "Connection: a\r\n".repeat(count));
        let count = |raw: &str| request(raw.as_bytes(), Stamp::default(), true, |head| head.fields.len());
        assert_eq!(count(&head(1000)), Some(1000));
        assert_eq!(count(&head(5000)), None);
    }
}
