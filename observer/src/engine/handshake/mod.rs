//! One hop's handshake: an upgrade request and its final response (RFC 9110 7.8, RFC 6455 4).

pub mod field;
pub mod traits;

use std::{net::SocketAddr, time::Duration};

use self::traits::Traits;
use super::{
    event::{Body, FirstBytes, Interim, ProxyHeader, Request, Response, Silence},
    frame::{ClockId, InterfaceId},
    http::{ResponseHead, Tunnel},
    memory::block,
    tcp::{Link, Stamp},
    time::Timestamp,
};

/// How long after it came a request is passed on that was answered before: at once, but for a busy host.
const PASSED_ON_WITHIN: Duration = Duration::from_secs(1);

/// An upgrade request on one connection, and what came of it.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// The connection.
    pub link: Link,
    /// Where its request was captured.
    pub interface: InterfaceId,
    /// The clock by which.
    pub clock: ClockId,
    /// Sequence number of the request's first byte.
    pub sequence: u32,
    /// The request.
    pub request: Request,
    /// What it is compared by.
    pub traits: Traits,
    /// The final response, once it has come.
    pub response: Option<Response>,
    /// Why there will be none.
    pub silence: Option<Silence>,
    /// When it was over: the response's time, or that of the silence.
    pub ended_at: Option<Timestamp>,
    /// When its client closed its half of the connection without a final response, and what that means if it gave up: it
    /// may wait on as well.
    pub left: Option<(Timestamp, Silence)>,
    /// What the server sent first in place of a status line.
    pub not_http: Option<FirstBytes>,
    /// The first bytes of a refusal's body.
    pub body: Vec<u8>,
    /// The PROXY protocol header that its connection begins with.
    pub proxy_header: Option<Box<ProxyHeader>>,
    /// What came before the final response.
    pub interim: Option<Interim>,
    /// The tunnel's last known state, once a side has ended it.
    pub tunnel: Option<Box<Tunnel>>,
    /// Whether the client's side has sent something through the tunnel.
    pub spoken: bool,
    /// The processes that hold the client's and the server's end, where a tap knows them.
    pub pids: [Option<u32>; 2],
    /// Whether another attempt with its key, decided without it, may have had it.
    pub contested: bool,
}

impl Handshake {
    /// A handshake whose answer has not come.
    #[must_use]
    pub fn new(link: Link, stamp: Stamp, request: Request) -> Self {
        Self {
            link,
            interface: stamp.interface,
            clock: stamp.clock,
            sequence: stamp.sequence,
            traits: Traits::of(&request),
            request,
            response: None,
            silence: None,
            ended_at: None,
            left: None,
            not_http: None,
            body: Vec::new(),
            proxy_header: None,
            interim: None,
            tunnel: None,
            spoken: false,
            pids: [None, None],
            contested: false,
        }
    }

    /// The status of the final response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.response.as_ref().map(|response| response.status)
    }

    /// Whether there is no answer, or one that a proxy may have given for want of any.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.response.is_none() || self.is_server_error()
    }

    /// Whether the final response is of class 5xx (RFC 9110 15.6).
    #[must_use]
    pub fn is_server_error(&self) -> bool {
        self.status().is_some_and(|status| status >= 500)
    }

    /// Whether the server switched protocols.
    #[must_use]
    pub fn is_upgraded(&self) -> bool {
        self.status() == Some(101)
    }

    /// Keeps the beginning of a refusal's body.
    pub fn keep_body(&mut self, bytes: &[u8]) {
        let room = Body::KEPT.saturating_sub(self.body.len());
        self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The client that a PROXY protocol header named.
    #[must_use]
    pub fn forwarded_for(&self) -> Option<SocketAddr> {
        self.proxy_header.as_ref()?.source
    }

    /// Keeps an interim response.
    pub fn keep_interim(&mut self, head: &ResponseHead<'_>) {
        let Stamp { frame, at, .. } = head.stamp;
        let interim = self.interim.get_or_insert(Interim { status: head.status, frame, at, count: 0 });
        interim.count = interim.count.saturating_add(1);
    }

    /// Keeps what the server sends in place of an answer; says when that ended the handshake, where it has only now.
    pub fn keep_foreign(&mut self, bytes: &[u8], stamp: Stamp) -> Option<Timestamp> {
        if let Some(first) = &mut self.not_http {
            first.extend(bytes);
            return None;
        }
        self.not_http = Some(FirstBytes::new(stamp.frame, stamp.at, bytes));
        // The server may have spoken first.
        self.ended_at = Some(stamp.at.max(self.request.at));
        self.silence = Some(Silence::NotHttp);
        self.ended_at
    }

    /// The final response with what is kept of its body.
    #[must_use]
    pub fn answer(&self) -> Option<Response> {
        let response = self.response.as_ref()?;
        Some(Response { body: Body::of(response, &self.body), ..response.clone() })
    }

    /// Forgets an end that came after `now`: where late frames are waited for, more is known than was at that time.
    pub fn as_of(&mut self, now: Timestamp) {
        if self.ended_at.is_some_and(|ended| ended > now) {
            (self.response, self.silence, self.ended_at) = (None, None, None);
            self.body.clear();
            self.not_http = None;
        }
        self.left = self.left.filter(|(left, _)| *left <= now);
        self.interim = self.interim.filter(|interim| interim.at <= now);
    }

    /// Takes a client that closed its half, and has no answer, for one that gave up: the server may never close the other.
    pub fn give_up(&mut self) {
        if self.ended_at.is_none()
            && let Some((at, silence)) = self.left
        {
            (self.silence, self.ended_at) = (Some(silence), Some(at));
        }
    }

    /// Whether it was open at `at`, give or take `skew` between taps.
    #[must_use]
    pub fn was_open(&self, at: Timestamp, skew: Duration) -> bool {
        let ended_at = if self.is_early() { Some(self.request.at + PASSED_ON_WITHIN) } else { self.ended_at };
        self.request.at <= at + skew && ended_at.is_none_or(|ended| at <= ended + skew)
    }

    /// Whether the answer came before the request, which is passed on all the same by what only passes bytes on.
    fn is_early(&self) -> bool {
        self.response.as_ref().is_some_and(|response| response.at < self.request.at)
    }

    /// Whether the process that accepted this one sent `up`; `None` where one of them is not known.
    #[must_use]
    pub fn shares_process(&self, up: &Self) -> Option<bool> {
        self.pids[1].zip(up.pids[0]).map(|(accepted, sent)| accepted == sent)
    }

    /// Bytes it costs, by estimate.
    #[must_use]
    pub fn memory(&self) -> usize {
        let response = self.response.as_ref().map_or(0, Response::memory);
        let tunnel = self.tunnel.as_ref().map_or(0, |_| block(size_of::<Tunnel>()));
        let forwarded_for = self.traits.forwarded_for.as_ref().map_or(0, |ips| block(size_of_val(&**ips)));
        block(size_of::<Self>())
            + self.request.memory()
            + response
            + block(self.body.capacity())
            + self.not_http.as_ref().map_or(0, FirstBytes::memory)
            + self.proxy_header.as_ref().map_or(0, |header| block(size_of::<ProxyHeader>()) + header.memory())
            + forwarded_for
            + tunnel
    }
}
