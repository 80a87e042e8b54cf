//! Heads: collected, read, paired with each other, and what each makes of the direction that it came in.

use super::{Dialogue, Exchange, Kind, PartialHead, RESPONSE, State, is_response};
use crate::engine::{
    anomaly::AnomalyKind,
    event::{Body, ProxyHeader, Silence},
    http::{
        Listener, RequestHead, ResponseHead, TlsConnection, Tunnel,
        chunked::Chunked,
        head::{self, Framing, MAX_HEAD},
        preface::{self, Preface},
    },
    knowledge::FlowClass,
    tcp::{Direction, Link, Stamp},
};

/// Requests that may await an answer on one connection. More are a flood, not a pipeline.
const MAX_OUTSTANDING: usize = 1024;
/// Bytes of a refusal's body that the listener is shown.
#[expect(clippy::cast_possible_truncation, reason = "it is a KiB")]
const BODY_SHOWN: u16 = Body::KEPT as u16;

impl<L: Listener> Dialogue<L> {
    /// Collects a head until its end has come, then reads it. Says how many of `bytes` it took.
    pub(super) fn head(&mut self, to: &mut L, link: &Link, way: Direction, bytes: &[u8], stamp: Stamp) -> usize {
        let State::Head(mut partial) = std::mem::take(self.state(way)) else {
            return self.read_head(to, link, way, bytes, 0, stamp).unwrap_or_else(|| {
                if way == Direction::ToServer {
                    to.asks(link, stamp);
                }
                *self.state(way) = State::Head(Box::new(PartialHead { bytes: bytes.to_vec(), stamp }));
                bytes.len()
            });
        };
        let before = partial.bytes.len();
        partial.bytes.extend_from_slice(bytes);
        match self.read_head(to, link, way, &partial.bytes, before, partial.stamp) {
            Some(end) => end.saturating_sub(before),
            None => {
                *self.state(way) = State::Head(partial);
                bytes.len()
            }
        }
    }

    /// Reads a head from its first byte; `None` while its end has not come. Says where what it read ends.
    pub(super) fn read_head(
        &mut self,
        to: &mut L,
        link: &Link,
        way: Direction,
        bytes: &[u8],
        scanned: usize,
        stamp: Stamp,
    ) -> Option<usize> {
        match way {
            Direction::ToServer if !self.begun => match preface::look(bytes) {
                Preface::Http if self.may_ask_foreign(bytes) => {}
                Preface::Http => return self.preface(to, link, &Preface::Other, bytes, stamp),
                preface => return self.preface(to, link, &preface, bytes, stamp),
            },
            Direction::ToServer => {}
            Direction::ToClient if is_response(bytes) => {}
            Direction::ToClient if RESPONSE.starts_with(bytes) => return None,
            Direction::ToClient => {
                self.begin_foreign(to, link, bytes, stamp);
                return Some(bytes.len());
            }
        }
        // Empty lines before a request are to be ignored (RFC 9112 2.2).
        let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if scanned == 0
            && let Some(length) = self.first_head(to, link, way, &bytes[blank..], stamp)
        {
            return Some(blank + length);
        }
        let Some(end) = head::end(&bytes[blank..], scanned.saturating_sub(blank)).map(|end| blank + end) else {
            if bytes.len() <= MAX_HEAD {
                return None;
            }
            to.anomaly(link, AnomalyKind::HeadTooLarge, stamp);
            self.read_cut(to, link, way, bytes, stamp);
            return Some(bytes.len());
        };
        let raw = &bytes[blank..end];
        let read = match way {
            Direction::ToServer => head::request(raw, stamp, true, |head| self.request(to, link, head)),
            Direction::ToClient => head::response(raw, stamp, true, |head| self.response(to, link, head)),
        };
        if read.is_none() {
            self.not_http(to, link, way, "head", stamp);
        }
        Some(end)
    }

    /// Reads a head that came in one piece, as nearly all do, and says where it ends. `None` where that is not so.
    fn first_head(&mut self, to: &mut L, link: &Link, way: Direction, bytes: &[u8], stamp: Stamp) -> Option<usize> {
        let bytes = &bytes[..bytes.len().min(MAX_HEAD)];
        match way {
            Direction::ToServer => head::first_request(bytes, stamp, |head| self.request(to, link, head)),
            Direction::ToClient => head::first_response(bytes, stamp, |head| self.response(to, link, head)),
        }
    }

    /// The connection does not begin with a request.
    pub(super) fn preface(
        &mut self,
        to: &mut L,
        link: &Link,
        preface: &Preface,
        bytes: &[u8],
        stamp: Stamp,
    ) -> Option<usize> {
        match *preface {
            Preface::Short => return None,
            Preface::Proxy(length, source) => {
                let line =
                    bytes.starts_with(b"PROXY ").then(|| String::from_utf8_lossy(bytes[..length].trim_ascii()).into());
                let header =
                    ProxyHeader { frame: stamp.frame, line, length: u32::try_from(length).unwrap_or(0), source };
                self.unusual().proxy_header = Some(Box::new(header));
                return Some(length);
            }
            Preface::Tls => {
                let record = bytes.get(3..5).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
                if record.is_none_or(|length| bytes.len() < 5 + length.min(MAX_HEAD / 4)) {
                    return None;
                }
                self.tls(to, link, bytes, stamp);
                return Some(bytes.len());
            }
            Preface::Http2 => to.anomaly(link, AnomalyKind::Http2, stamp),
            Preface::Other | Preface::Http => {}
        }
        self.begin_tried(to, link, bytes, stamp);
        Some(bytes.len())
    }

    pub(super) fn tls(&mut self, to: &mut L, link: &Link, bytes: &[u8], stamp: Stamp) {
        self.unusual().tls = Some(TlsConnection {
            opened_at: stamp.at,
            client_at: [stamp.at; 2],
            client_ended: None,
            server_ended: None,
        });
        let (server_name, alpn) = preface::client_hello(bytes);
        to.anomaly(link, AnomalyKind::Tls { server_name, alpn }, stamp);
        self.begin_tried(to, link, bytes, stamp);
    }

    pub(super) fn opaque(&mut self, to: &mut L, link: &Link) {
        self.classify(to, link, FlowClass::Opaque);
        self.client = State::Opaque;
        self.server = State::Opaque;
        if let Some(unusual) = &mut self.unusual {
            unusual.foreign = None;
        }
    }

    /// Bytes that are no HTTP/1 message where one should begin.
    pub(super) fn not_http(&mut self, to: &mut L, link: &Link, way: Direction, what: &'static str, stamp: Stamp) {
        if !self.begun {
            self.opaque(to, link);
            return;
        }
        to.anomaly(link, AnomalyKind::NotHttp(what), stamp);
        self.lose(to, link, way, stamp);
    }

    pub(super) fn request(&mut self, to: &mut L, link: &Link, head: &RequestHead<'_>) {
        self.begun = true;
        self.classify(to, link, FlowClass::Http);
        let header = self.unusual.as_ref().and_then(|unusual| unusual.proxy_header.as_deref());
        let ticket = to.request(link, head, header);
        if self.unusual.is_some() && self.answer_by_foreign(to, ticket) {
            return;
        }
        let kind = Kind::of(head);
        self.outstanding.push(Exchange::new(ticket, kind, head.stamp.sequence));
        // The answer may be among what a tap left out before.
        let of_skipped = self.unusual.as_mut().and_then(|unusual| unusual.skipped.take());
        if let (Some(end), Some(acknowledged)) = (of_skipped, head.stamp.acknowledgment)
            && acknowledged.wrapping_sub(end).cast_signed() < 0
        {
            self.unusual().missed = true;
        }
        if self.outstanding.len() > MAX_OUTSTANDING {
            to.anomaly(link, AnomalyKind::NotHttp("pipeline without answers"), head.stamp);
            self.silence_all(to, Silence::NotCaptured, head.stamp.at);
            self.opaque(to, link);
            return;
        }
        // One that was read only now may have its answer among what is missing.
        let resumed = self.unusual.as_ref().and_then(|unusual| unusual.resumed);
        let late = resumed.is_some_and(|(had, from)| {
            let is_missing = |had_by_client: u32| from.wrapping_sub(had_by_client).cast_signed() > 0;
            let is_had = self.outstanding.last().is_some_and(|last| last.was_had_by(had));
            is_had && head.stamp.acknowledgment.is_none_or(is_missing)
        });
        if late {
            self.silence_all(to, Silence::NotCaptured, head.stamp.at);
        }
        match head.framing() {
            _ if late && kind.waits() => self.client = State::Lost,
            _ if !head.complete => self.client = if kind.waits() { State::Waiting } else { State::Lost },
            Framing::Length(0) => self.body_done(Direction::ToServer),
            Framing::Length(length) => self.client = State::Body(length),
            Framing::Chunked => self.client = State::Chunked(Chunked::START),
            Framing::UntilClose | Framing::Contradiction => {
                to.anomaly(link, AnomalyKind::NotHttp("framing of a request"), head.stamp);
                self.lose(to, link, Direction::ToServer, head.stamp);
            }
        }
        if let State::Early(_) = self.server {
            self.replay_early(to, link);
        }
    }

    /// The request that a response answers.
    pub(super) fn answered(&mut self, stamp: Stamp) -> Option<Exchange> {
        let front = *self.outstanding.first()?;
        if front.kind != Kind::Unknown {
            let had = stamp.acknowledgment.is_none_or(|acknowledged| front.was_had_by(acknowledged));
            return had.then(|| self.outstanding.remove(0));
        }
        // Requests are missing here. The response is that of the next one seen if it came after the server had it.
        let next = *self.outstanding.get(1)?;
        let had = next.was_had_by(stamp.acknowledgment?);
        if had {
            self.outstanding.drain(..2);
        }
        had.then_some(next)
    }

    pub(super) fn response(&mut self, to: &mut L, link: &Link, head: &ResponseHead<'_>) {
        (self.begun, self.server_begun) = (true, true);
        self.classify(to, link, FlowClass::Http);
        self.server = State::Start;
        if matches!(head.status, 100 | 102..=199) {
            // One before its request, which tells that this is a mistake, is another's.
            let front = self.outstanding.first().filter(|front| front.kind != Kind::Unknown);
            if let Some(ticket) = front.and_then(|front| front.ticket) {
                to.interim(ticket, head);
            }
            return;
        }
        let exchange = self.answered(head.stamp);
        if exchange.is_none() {
            self.report_unasked(to, link, head.stamp, head.status);
        }
        if exchange.is_some()
            && let Some(unusual) = &mut self.unusual
        {
            unusual.resumed = None;
        }
        let ticket = exchange.and_then(|exchange| exchange.ticket);
        if let Some(ticket) = ticket {
            to.response(ticket, head);
        }
        let kind = exchange.map_or(Kind::Plain, |exchange| exchange.kind);
        match (head.status, kind) {
            (101, _) => return self.switch(to, link, exchange, head),
            (200..=299, Kind::Connect) => return *self = Self::default(),
            _ => {}
        }
        // An answer to a request before the one that the client waits for changes nothing.
        if matches!(self.client, State::Waiting) && kind.waits() {
            self.client = State::Start;
        }
        if let (Some(ticket), Kind::Upgrade(_)) = (ticket, kind) {
            self.unusual().showing = Some((ticket, BODY_SHOWN));
        }
        match head.framing() {
            _ if !head.complete => self.server = State::Lost,
            _ if kind == Kind::Head => self.body_done(Direction::ToClient),
            Framing::Length(0) => self.body_done(Direction::ToClient),
            Framing::Length(length) => self.server = State::Body(length),
            Framing::Chunked => self.server = State::Chunked(Chunked::START),
            // Nobody knows whether it was asked for by HEAD.
            Framing::UntilClose if exchange.is_none() => self.server = State::Lost,
            Framing::UntilClose => self.server = State::UntilClose,
            Framing::Contradiction => {
                to.anomaly(link, AnomalyKind::NotHttp("framing of a response"), head.stamp);
                self.lose(to, link, Direction::ToClient, head.stamp);
            }
        }
    }

    /// 101: from here on both directions speak another protocol (RFC 9110 15.2.2).
    pub(super) fn switch(&mut self, to: &mut L, link: &Link, exchange: Option<Exchange>, head: &ResponseHead<'_>) {
        if head::values(head.fields, "upgrade").any(|value| value.eq_ignore_ascii_case(b"h2c")) {
            to.http2(link, head.stamp);
        }
        let websocket = match exchange.map(|exchange| exchange.kind) {
            Some(Kind::Upgrade(websocket)) => websocket,
            _ => head::values(head.fields, "upgrade").any(|value| value.eq_ignore_ascii_case(b"websocket")),
        };
        let mut tunnel = Tunnel::new(head.stamp.at, websocket);
        if !head.complete {
            tunnel.gap(Direction::ToClient, 0, head.stamp.at);
        }
        // A client waits for its 101 (RFC 6455 4.1): what is missing before that was the rest of its request.
        tunnel.incomplete |= self.has_missed();
        if !matches!(self.client, State::Waiting) {
            tunnel.gap(Direction::ToServer, 0, head.stamp.at);
        }
        if let Some(at) = self.unusual.as_ref().and_then(|unusual| unusual.client_ended) {
            tunnel.end(Direction::ToServer, at);
        }
        self.silence_all(to, Silence::NotCaptured, head.stamp.at);
        self.client = State::Tunnel;
        self.server = State::Tunnel;
        self.tunnel = Some(Box::new((exchange.and_then(|exchange| exchange.ticket), tunnel)));
    }

    /// Reads what is there of a head whose rest will not come.
    pub(super) fn cut_head(&mut self, to: &mut L, link: &Link, way: Direction) {
        if !matches!(self.state(way), State::Head(_)) {
            return;
        }
        let State::Head(partial) = std::mem::take(self.state(way)) else { return };
        let stamp = partial.stamp;
        if way == Direction::ToServer && !self.begun && preface::look(&partial.bytes) == Preface::Tls {
            return self.tls(to, link, &partial.bytes, stamp);
        }
        *self.state(way) = State::Lost;
        self.read_partial(to, link, way, &partial.bytes, stamp);
    }

    /// Reads the whole lines of a head of which there are more than are read.
    fn read_cut(&mut self, to: &mut L, link: &Link, way: Direction, bytes: &[u8], stamp: Stamp) {
        *self.state(way) = State::Lost;
        if self.read_partial(to, link, way, &bytes[..MAX_HEAD], stamp).is_none() {
            self.lose(to, link, way, stamp);
        }
    }

    fn read_partial(&mut self, to: &mut L, link: &Link, way: Direction, bytes: &[u8], stamp: Stamp) -> Option<()> {
        let raw = head::closed(bytes)?;
        match way {
            Direction::ToServer => head::request(&raw, stamp, false, |head| self.request(to, link, head)),
            Direction::ToClient => head::response(&raw, stamp, false, |head| self.response(to, link, head)),
        }
    }
}
