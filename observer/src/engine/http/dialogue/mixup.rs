//! Clients that speak TLS, or anything but HTTP/1, to a server that does not: told by the first bytes of both.

use super::{Dialogue, RESPONSE, State};
use crate::engine::{
    event::{FirstBytes, Mixup, Protocol, Reply},
    http::Listener,
    tcp::{End, Link, Stamp},
    time::Timestamp,
};

/// A status line up to its code: `HTTP/1.1 400`.
const STATUS: usize = 12;

/// A client that speaks no HTTP/1, and what it got so far.
#[derive(Debug)]
pub(super) struct Tried {
    client: FirstBytes,
    stamp: Stamp,
    server: Option<FirstBytes>,
}

impl Tried {
    /// Bytes that it refers to.
    pub(super) fn memory(&self) -> usize {
        self.client.memory() + self.server.as_ref().map_or(0, FirstBytes::memory)
    }

    /// Whether the server speaks another protocol; `None` while that is not known.
    fn is_mixup(&self) -> Option<bool> {
        let said = self.server.as_ref().map_or(&[][..], |first| &*first.bytes);
        let is_http = said.starts_with(RESPONSE) || RESPONSE.starts_with(said);
        match said {
            _ if is_http && said.len() < STATUS => None,
            _ if self.client.protocol() != Some(Protocol::Tls) => Some(is_http),
            [0x14..=0x17] => None,
            [0x14..=0x17, 3, ..] => Some(false),
            _ => Some(true),
        }
    }
}

impl<L: Listener> Dialogue<L> {
    /// The client's first bytes are no HTTP/1. Until the server has answered it is not known whether it understands them.
    pub(super) fn begin_tried(&mut self, to: &mut L, link: &Link, bytes: &[u8], stamp: Stamp) {
        let foreign = self.unusual.as_mut().and_then(|unusual| unusual.foreign.take());
        let said = match std::mem::take(&mut self.server) {
            State::Early(early) => Some((early.bytes, early.stamp)),
            _ => foreign.map(|foreign| (foreign.first.bytes.into_vec(), foreign.stamp)),
        };
        let is_known = said.is_some() || !self.server_begun;
        self.opaque(to, link);
        if is_known {
            let client = FirstBytes::new(stamp.frame, stamp.at, bytes);
            self.unusual().tried = Some(Box::new(Tried { client, stamp, server: None }));
            said.into_iter().for_each(|(bytes, stamp)| self.answer_tried(to, link, &bytes, stamp));
        }
    }

    /// More of what the client says.
    pub(super) fn follow_tried(&mut self, bytes: &[u8]) {
        if let Some(tried) = self.unusual.as_mut().and_then(|unusual| unusual.tried.as_mut()) {
            tried.client.extend(bytes);
        }
    }

    /// The server says something.
    pub(super) fn answer_tried(&mut self, to: &mut L, link: &Link, bytes: &[u8], stamp: Stamp) {
        let Some(tried) = self.unusual.as_mut().and_then(|unusual| unusual.tried.as_mut()) else { return };
        tried.server.get_or_insert_with(|| FirstBytes::new(stamp.frame, stamp.at, b"")).extend(bytes);
        if let Some(is_mixup) = tried.is_mixup() {
            self.end_tried(to, link, is_mixup, Reply::Closed(stamp.at));
        }
    }

    /// The server ends the connection: what it has not said by now it will not say.
    pub(super) fn close_tried(&mut self, to: &mut L, link: &Link, end: End, at: Timestamp) {
        let Some(tried) = self.unusual.as_ref().and_then(|unusual| unusual.tried.as_ref()) else { return };
        let is_tls = tried.client.protocol() == Some(Protocol::Tls);
        let client_first =
            self.unusual.as_ref().and_then(|unusual| unusual.tls).is_some_and(|tls| tls.client_ended.is_some());
        let is_mixup = match &tried.server {
            None => is_tls && !client_first,
            Some(said) => is_tls && !matches!(&*said.bytes, [0x14..=0x17]),
        };
        self.end_tried(to, link, is_mixup, if end == End::Reset { Reply::Reset(at) } else { Reply::Closed(at) });
    }

    /// The server's first bytes are not known: nothing can be told.
    pub(super) fn drop_tried(&mut self) {
        self.take_tried();
    }

    /// Nothing else is kept of a connection that is neither HTTP/1 nor TLS.
    fn take_tried(&mut self) -> Option<Tried> {
        let unusual = self.unusual.as_mut()?;
        let tried = unusual.tried.take()?;
        if unusual.tls.is_none() {
            self.unusual = None;
        }
        Some(*tried)
    }

    pub(super) fn is_trying(&self) -> bool {
        self.unusual.as_ref().is_some_and(|unusual| unusual.tried.is_some())
    }

    fn end_tried(&mut self, to: &mut L, link: &Link, is_mixup: bool, silent: Reply) {
        if let Some(Tried { client, stamp, server }) = self.take_tried().filter(|_| is_mixup) {
            to.mixup(link, &Mixup { client, server: server.map_or(silent, Reply::Bytes) }, stamp);
        }
    }
}
