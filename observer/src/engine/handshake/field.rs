//! The fields of an upgrade: what a request asks for, and whether an answer fits (RFC 9110 7.8, RFC 6455 4).

use base64::{Engine, prelude::BASE64_STANDARD};
use sha1::{Digest, Sha1};

use crate::engine::event::{Fields, Request};

/// Appended to the key before hashing (RFC 6455 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 4.2.2, item 5.4).
#[must_use]
pub fn accept(key: &str) -> String {
    BASE64_STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// Whether a key is what RFC 6455 4.1 asks for: 16 bytes in base64.
#[must_use]
pub fn is_key(key: &str) -> bool {
    BASE64_STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// The upgrade-related view of a request.
pub trait UpgradeRequest: Fields {
    /// Whether the Upgrade field names any protocol.
    fn has_upgrade(&self) -> bool {
        self.list("upgrade").next().is_some()
    }

    /// Whether Connection has the member `upgrade` (RFC 9110 7.8).
    fn has_connection_upgrade(&self) -> bool {
        self.has_member("connection", "upgrade")
    }

    /// Whether it asks for another protocol the way RFC 9110 7.8 says.
    fn is_upgrade(&self) -> bool {
        self.has_upgrade() && self.has_connection_upgrade()
    }

    /// The protocols asked for, as sent; empty without the field.
    fn upgrade(&self) -> String {
        self.joined("upgrade").unwrap_or_default()
    }

    /// Sec-WebSocket-Key.
    fn key(&self) -> Option<&str> {
        self.field("sec-websocket-key").filter(|key| !key.is_empty())
    }

    /// Whether its client may have spoken HTTP/2, which has no Upgrade and whose field names are in lower case (RFC 9113
    /// 8.2): proxies pass such names on as they are, and those in Go write them in a way of their own.
    fn may_come_from_http2(&self) -> bool {
        let mut own = self.lines().iter().filter(|line| line.name.eq_ignore_ascii_case("sec-websocket-key"));
        !self.has_upgrade() && own.any(|line| &*line.name != "Sec-WebSocket-Key")
    }

    /// Whether it is about WebSocket, by token or by key.
    fn is_websocket(&self) -> bool {
        self.has_member("upgrade", "websocket") || self.key().is_some()
    }

    /// Whether every protocol asked for is one that a server may decline without harm: h2c, and TLS within HTTP.
    fn is_offer(&self) -> bool {
        let declinable = |token: &str| {
            let token = token.to_ascii_lowercase();
            token == "h2c" || token.starts_with("tls/") || token.starts_with("http/")
        };
        self.key().is_none() && self.has_upgrade() && self.list("upgrade").all(declinable)
    }

    /// A value that names this request across hops, as [`request_id`].
    fn request_id(&self) -> Option<&str> {
        request_id(self.field("x-request-id"), self.field("traceparent"))
    }

    /// Whether a proxy has added fields on the way.
    fn is_forwarded(&self) -> bool {
        const MARKS: [&str; 8] = [
            "forwarded",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded-server",
            "x-real-ip",
            "x-envoy-expected-rq-timeout-ms",
        ];
        self.lines().iter().any(|line| MARKS.iter().any(|mark| line.name.eq_ignore_ascii_case(mark)))
    }
}

impl UpgradeRequest for Request {}

/// What names a request across hops: X-Request-ID, or the trace id of traceparent.
#[must_use]
pub fn request_id<'a>(id: Option<&'a str>, traceparent: Option<&'a str>) -> Option<&'a str> {
    let plausible = |id: &&str| id.len() >= 8;
    id.filter(plausible).or_else(|| {
        // W3C Trace Context: version-traceid-parentid-flags; only the trace id is kept by every hop.
        traceparent.and_then(|value| value.split('-').nth(1)).filter(plausible)
    })
}

/// What is wrong with a request that asks for WebSocket (RFC 6455 4.1), whoever sent it.
#[must_use]
pub fn defect(request: &Request) -> Option<&'static str> {
    if !request.complete || !request.has_member("upgrade", "websocket") {
        return None;
    }
    match request.key() {
        _ if &*request.method != "GET" => Some("its method is not GET"),
        None => Some("it has no Sec-WebSocket-Key"),
        Some(key) if !is_key(key) => Some("its Sec-WebSocket-Key is not 16 bytes in base64"),
        Some(_) if request.field("sec-websocket-version").is_none() => Some("it has no Sec-WebSocket-Version"),
        Some(_) => match request.lines().iter().filter(|line| line.name.eq_ignore_ascii_case("host")).count() {
            0 => Some("it has no Host"),
            1 => None,
            _ => Some("it has Host more than once"),
        },
    }
}

/// The part of a target that proxies usually keep when they rewrite paths: its last segment, without the query.
#[must_use]
pub fn tail(target: &str) -> &str {
    let path = path(target);
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    memchr::memrchr(b'/', trimmed.as_bytes()).map_or(trimmed, |at| &trimmed[at + 1..])
}

/// A target without its query.
#[must_use]
pub fn path(target: &str) -> &str {
    memchr::memchr(b'?', target.as_bytes()).map_or(target, |at| &target[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_value_is_that_of_the_rfc() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_are_sixteen_bytes() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(!is_key("dGhlIHNhbXBsZQ=="));
        assert!(!is_key("not base64"));
    }

    #[test]
    fn tails_survive_rewriting() {
        for (target, expected) in [("/chat/ws?token=1", "ws"), ("/ws/", "ws"), ("/", ""), ("*", "*"), ("/a/b", "b")] {
            assert_eq!(tail(target), expected, "{target}");
        }
    }
}
