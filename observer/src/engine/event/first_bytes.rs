//! The first bytes of a side that does not speak what was due there, and which protocol they are of.

use std::fmt;

use super::Timestamp;

/// The first bytes that one side of a connection sent where HTTP/1 was due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FirstBytes {
    /// The frame that holds the first of them.
    pub frame: u64,
    /// When that frame was captured.
    pub at: Timestamp,
    /// The bytes, at most [`Self::KEPT`].
    pub bytes: Box<[u8]>,
}

impl FirstBytes {
    /// How many are kept: enough for the banner of every protocol that has one.
    pub const KEPT: usize = 32;

    /// Those that a frame begins with.
    #[must_use]
    pub fn new(frame: u64, at: Timestamp, bytes: &[u8]) -> Self {
        Self { frame, at, bytes: bytes[..bytes.len().min(Self::KEPT)].into() }
    }

    /// Adds what came next; says how much of that there was room for.
    pub fn extend(&mut self, more: &[u8]) -> usize {
        let room = more.len().min(Self::KEPT - self.bytes.len());
        if room > 0 {
            self.bytes = [&*self.bytes, &more[..room]].concat().into();
        }
        room
    }

    /// The status code, where they are the beginning of an HTTP/1 response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        let code = self.bytes.strip_prefix(b"HTTP/1.")?.get(2..5)?;
        let digits = code.iter().all(u8::is_ascii_digit) && self.bytes[8] == b' ';
        digits.then(|| code.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
    }

    /// The protocol that they are of, where they show it.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        Protocol::of(&self.bytes)
    }

    /// As bytes in a Rust string are written, without control characters.
    #[must_use]
    pub fn escaped(&self) -> String {
        self.bytes.escape_ascii().to_string()
    }
}

/// A protocol that is known by its first bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Protocol {
    /// A TLS alert record (RFC 8446 6): whoever sent it speaks TLS, and did not understand what it got.
    TlsAlert,
    /// Another TLS record (RFC 8446 5.1).
    Tls,
    /// HTTP/2 (RFC 9113 3.4): a client's preface, or a server's SETTINGS frame.
    Http2,
    /// VNC (RFC 6143 7.1.1).
    Vnc,
    /// SSH (RFC 4253 4.2).
    Ssh,
    /// SMTP or FTP: both greet with 220 (RFC 5321 4.2, RFC 959 5.4).
    SmtpOrFtp,
    /// POP3 (RFC 1939 4).
    Pop3,
    /// IMAP (RFC 9051 7.1).
    Imap,
    /// MySQL and MariaDB: a server's greeting.
    MySql,
    /// MQTT (MQTT 3.1.1, 3.1 and 3.2): CONNECT or CONNACK.
    Mqtt,
    /// AMQP (AMQP 0-9-1, 4.2.2).
    Amqp,
    /// Redis: an error in answer to what is no command.
    Redis,
    /// Bare text without a head, as HTTP/0.9 answers.
    Text,
}

impl Protocol {
    /// The protocol that first bytes are of, where they show it.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let begins = |with: &[u8]| bytes.starts_with(with);
        Some(match bytes {
            [0x15, 3, 0..=4, ..] => Self::TlsAlert,
            [0x14 | 0x16 | 0x17, 3, 0..=4, ..] => Self::Tls,
            // SETTINGS on stream 0, with ACK or without.
            [0, _, _, 4, 0 | 1, 0, 0, 0, 0, ..] => Self::Http2,
            // A packet of that length with sequence number 0, and version 10 of its protocol.
            [_, _, 0, 0, 10, b'1'..=b'9', ..] => Self::MySql,
            [0x10, ..] if bytes.windows(4).take(8).any(|part| part == b"MQTT" || part == b"MQIs") => Self::Mqtt,
            [0x20, 2, 0 | 1, 0..=5, ..] => Self::Mqtt,
            _ if begins(b"PRI * HTTP/2.0") => Self::Http2,
            _ if begins(b"RFB 0") => Self::Vnc,
            _ if begins(b"SSH-") => Self::Ssh,
            _ if begins(b"220 ") || begins(b"220-") => Self::SmtpOrFtp,
            _ if begins(b"+OK") => Self::Pop3,
            _ if begins(b"* OK") || begins(b"* BYE") || begins(b"* PREAUTH") => Self::Imap,
            _ if begins(b"AMQP") => Self::Amqp,
            _ if begins(b"-ERR ") || begins(b"-DENIED ") || begins(b"-NOAUTH ") => Self::Redis,
            _ if is_text(bytes) => Self::Text,
            _ => return None,
        })
    }

    /// As printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TlsAlert => "tls-alert",
            Self::Tls => "tls",
            Self::Http2 => "http2",
            Self::Vnc => "vnc",
            Self::Ssh => "ssh",
            Self::SmtpOrFtp => "smtp-or-ftp",
            Self::Pop3 => "pop3",
            Self::Imap => "imap",
            Self::MySql => "mysql",
            Self::Mqtt => "mqtt",
            Self::Amqp => "amqp",
            Self::Redis => "redis",
            Self::Text => "text",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether bytes are such as a person reads. The last character may be cut.
fn is_text(bytes: &[u8]) -> bool {
    let whole = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !whole.is_empty() && !whole.chars().any(|character| character.is_control() && !character.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_known_by_their_first_bytes() {
        for (bytes, protocol) in [
            (&b"RFB 003.008\n"[..], Some(Protocol::Vnc)),
            (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", Some(Protocol::Ssh)),
            (b"220 mail.test ESMTP\r\n", Some(Protocol::SmtpOrFtp)),
            (b"+OK ready\r\n", Some(Protocol::Pop3)),
            (b"* OK [CAPABILITY IMAP4rev1]", Some(Protocol::Imap)),
            (b"\x4a\0\0\0\x0a8.0.36\0", Some(Protocol::MySql)),
            (b"\x59\0\0\0\x0a5.5.5-10.11.6-MariaDB\0", Some(Protocol::MySql)),
            (b"\x10\x16\0\x04MQTT\x04\x02\0\x3c", Some(Protocol::Mqtt)),
            (b"\x10\x18\0\x06MQIsdp\x03", Some(Protocol::Mqtt)),
            (b"\x20\x02\0\x05", Some(Protocol::Mqtt)),
            (b"AMQP\0\0\x09\x01", Some(Protocol::Amqp)),
            (b"-ERR unknown command 'GET'\r\n", Some(Protocol::Redis)),
            (b"\x15\x03\x01\0\x02\x02\x46", Some(Protocol::TlsAlert)),
            (b"\x16\x03\x03\0\x7a\x02", Some(Protocol::Tls)),
            (b"\0\0\x12\x04\0\0\0\0\0\0\x03", Some(Protocol::Http2)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Protocol::Http2)),
            (b"hello from the origin\n", Some(Protocol::Text)),
            ("gr\u{fc}\u{df}".as_bytes(), Some(Protocol::Text)),
            (&"gr\u{fc}\u{df}".as_bytes()[..5], Some(Protocol::Text)),
            (b"\xff\xfe\0", None),
            (b"\0\0\0", None),
            (b"", None),
        ] {
            assert_eq!(Protocol::of(bytes), protocol, "{}", bytes.escape_ascii());
        }
    }
}
