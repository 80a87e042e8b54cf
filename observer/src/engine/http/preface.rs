//! What a connection's first client bytes are: HTTP/1, or something else that must not be read as such. PROXY protocol
//! headers (HAProxy's specification, versions 1 and 2) stand before the rest; TLS tells its server name.

use std::net::{IpAddr, SocketAddr};

/// Longest PROXY protocol version 1 header.
const PROXY_V1_MAX: usize = 107;
const PROXY_V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first bytes of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Preface {
    /// Too few bytes to tell.
    Short,
    /// A request line may follow.
    Http,
    /// A PROXY protocol header of this length, and the client it names.
    Proxy(usize, Option<SocketAddr>),
    /// TLS.
    Tls,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Something else.
    Other,
}

/// Looks at the first bytes.
pub(super) fn look(bytes: &[u8]) -> Preface {
    let begins = |with: &[u8]| bytes.starts_with(with) || with.starts_with(bytes);
    if bytes.is_empty() {
        return Preface::Short;
    }
    if begins(PROXY_V2) && bytes.len() > 2 {
        return proxy_v2(bytes);
    }
    if begins(b"PROXY ") {
        return proxy_v1(bytes);
    }
    if begins(HTTP2) && bytes.len() > 2 {
        return if bytes.len() >= HTTP2.len() { Preface::Http2 } else { Preface::Short };
    }
    match bytes[0] {
        0x16 if bytes.len() < 3 => Preface::Short,
        0x16 if bytes[1] == 3 && bytes[2] <= 4 => Preface::Tls,
        // Empty lines before a request are to be ignored (RFC 9112 2.2).
        b'\r' | b'\n' if bytes.len() < 3 => Preface::Short,
        b'\r' | b'\n' => Preface::Http,
        _ => method(bytes),
    }
}

/// Whether bytes begin with a method token and a space.
fn method(bytes: &[u8]) -> Preface {
    let token = bytes.iter().take(32).take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'-').count();
    match bytes.get(token) {
        Some(b' ') if token > 1 => Preface::Http,
        None if token == bytes.len() => Preface::Short,
        _ => Preface::Other,
    }
}

fn proxy_v1(bytes: &[u8]) -> Preface {
    let Some(end) = memchr::memchr(b'\n', &bytes[..bytes.len().min(PROXY_V1_MAX)]) else {
        return if bytes.len() < PROXY_V1_MAX { Preface::Short } else { Preface::Other };
    };
    let line = std::str::from_utf8(&bytes[..end]).unwrap_or("");
    let mut words = line.split_ascii_whitespace().skip(2);
    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
    let port = words.nth(1).and_then(|word| word.parse().ok());
    Preface::Proxy(end + 1, address.zip(port).map(SocketAddr::from))
}

fn proxy_v2(bytes: &[u8]) -> Preface {
    let Some(header) = bytes.get(..16) else { return Preface::Short };
    let length = 16 + usize::from(u16::from_be_bytes([header[14], header[15]]));
    let Some(body) = bytes.get(16..length) else { return Preface::Short };
    let port = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    let source = match (header[12], header[13]) {
        (0x21, 0x11) => body.first_chunk::<4>().map(|ip| IpAddr::from(*ip)).zip(port(8)),
        (0x21, 0x21) => body.first_chunk::<16>().map(|ip| IpAddr::from(*ip)).zip(port(32)),
        _ => None,
    };
    Preface::Proxy(length, source.map(SocketAddr::from))
}

/// Whether bytes that a client sent in the middle of a connection are neither HTTP nor a WebSocket frame: binary, or a TLS
/// record (RFC 8446 5.1). Text may be a body, and a frame may be in a tunnel whose request was not seen.
pub(super) fn is_another_protocol(bytes: &[u8]) -> bool {
    let is_tls = matches!(bytes, [0x14..=0x17, 3, 0..=4, ..]);
    let is_binary = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b);
    is_tls || bytes.iter().take(BINARY_WITHIN).any(is_binary) && !is_client_frame(bytes)
}

/// Bytes among which a binary protocol shows one that text has not.
const BINARY_WITHIN: usize = 16;

/// Whether bytes begin like a client's WebSocket frame (RFC 6455 5.2): a known opcode, masked.
fn is_client_frame(bytes: &[u8]) -> bool {
    matches!(bytes, [first, second, ..] if matches!(first & 0x0f, 0..=2 | 8..=10) && first & 0x30 == 0 && second & 0x80 != 0)
}

/// Server name and ALPN protocols.
type Hello = (Option<Box<str>>, Vec<Box<str>>);

/// Server name and ALPN protocols of a ClientHello (RFC 8446 4.1.2, RFC 6066 3, RFC 7301), as far as the bytes go.
pub(super) fn client_hello(bytes: &[u8]) -> Hello {
    hello(bytes).unwrap_or_default()
}

fn hello(bytes: &[u8]) -> Option<Hello> {
    // Record header 5, handshake header 4, version 2, random 32.
    if *bytes.get(5)? != 1 {
        return None;
    }
    let rest = bytes.get(43..)?;
    let rest = rest.get(1 + usize::from(*rest.first()?)..)?;
    let (_, rest) = block(rest)?;
    let rest = rest.get(1 + usize::from(*rest.first()?)..)?;
    let mut extensions = &rest[rest.len().min(2)..];
    let (mut name, mut protocols) = (None, Vec::new());
    while extensions.len() >= 4 {
        let kind = u16::from_be_bytes([extensions[0], extensions[1]]);
        let Some((body, next)) = block(&extensions[2..]) else { break };
        match kind {
            0 => name = body.get(3..).and_then(block).map(|(name, _)| text(name)),
            16 => protocols = alpn(body.get(2..)?),
            _ => {}
        }
        extensions = next;
    }
    Some((name, protocols))
}

/// Bytes behind a 16-bit length, and what follows them.
fn block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]));
    Some((bytes.get(2..2 + length)?, &bytes[2 + length..]))
}

fn alpn(mut list: &[u8]) -> Vec<Box<str>> {
    let mut protocols = Vec::new();
    while let Some((&length, rest)) = list.split_first() {
        let Some((protocol, next)) = rest.split_at_checked(usize::from(length)) else { break };
        protocols.push(text(protocol));
        list = next;
    }
    protocols
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &Preface) {
        assert_eq!(look(bytes), *expected, "{bytes:?}");
    }

    #[test]
    fn protocols_are_told_apart() {
        check(b"GET / HTTP/1.1\r\n", &Preface::Http);
        check(b"\r\nGET /", &Preface::Http);
        check(b"M-SEARCH * HTTP/1.1", &Preface::Http);
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &Preface::Http2);
        check(b"PRINT /x HTTP/1.1", &Preface::Http);
        check(b"\x16\x03\x01\x02\x00\x01", &Preface::Tls);
        check(b"SSH-2.0-OpenSSH_9.2\r\n", &Preface::Other);
        check(b"\x00\x01\x02", &Preface::Other);
        check(b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 80\r\nGET", &Preface::Proxy(40, "192.0.2.1:4000".parse().ok()));
        check(b"PROXY UNKNOWN\r\nGET", &Preface::Proxy(15, None));
    }

    #[test]
    fn a_version_2_header_names_its_source() {
        let header = [&PROXY_V2[..], &[0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2, 15, 160, 0, 80], b"GET"].concat();
        check(&header, &Preface::Proxy(28, "192.0.2.1:4000".parse().ok()));
        for cut in 1..28 {
            check(&header[..cut], &Preface::Short);
        }
    }

    #[test]
    fn prefixes_of_everything_wait_for_more() {
        for whole in [&b"PROXY TCP4"[..], b"PRI * HTTP/2.0", b"\x16\x03", b"GET", b"OPTIONS"] {
            for cut in 1..whole.len() {
                check(&whole[..cut], &Preface::Short);
            }
        }
    }
}
