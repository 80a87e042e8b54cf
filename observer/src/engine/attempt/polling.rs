//! Long polling by clients whose WebSocket attempt failed: engine.io (socket.io), SockJS and their like.

use std::{hash::BuildHasher, sync::Arc, time::Duration};

use foldhash::fast::FixedState;

use super::super::{
    event::{Attempt, Fields},
    handshake::field,
    host::{Host, Socket},
    http::{RequestHead, head},
    knowledge::Recently,
    memory::block,
    tcp::Link,
    time::Timestamp,
};

/// Polls, and failed attempts, remembered.
const MAX_KEPT: usize = 512;
/// Targets longer than this are no poll of a library's.
const MAX_TARGET: usize = 2048;
/// How long after a failure a client's polls are still its answer to it.
const WINDOW: Duration = Duration::from_secs(60);
/// Polls that make a habit. One may have been under way already.
const ENOUGH: u64 = 2;

/// A long-polling request.
#[derive(Clone, Debug)]
struct Poll {
    at: Timestamp,
    frame: u64,
    client: Host,
    server: Socket,
    /// Path without the transport's own part.
    base: Box<str>,
    target: Box<str>,
    session: Option<Box<str>>,
    agent: u64,
}

/// A failed attempt whose client may go on by polling.
#[derive(Debug)]
struct Failure {
    attempt: Arc<Attempt>,
    at: Timestamp,
    client: Host,
    server: Socket,
    base: Box<str>,
    session: Option<Box<str>>,
    agent: u64,
    polls: u64,
    first: Option<(Box<str>, u64)>,
}

/// A client that fell back.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// Its failed attempt.
    pub attempt: Arc<Attempt>,
    /// When the poll that made it a habit was seen.
    pub at: Timestamp,
    /// Path of the first poll that is known.
    pub target: Box<str>,
    /// Frame of the first poll that is known.
    pub frame: u64,
    /// Polls so far, at least.
    pub polls: u64,
}

/// Polls and failures, to be matched whichever comes first.
#[derive(Debug)]
pub(super) struct Polling {
    polls: Recently<Poll>,
    failures: Recently<Failure>,
    /// How many of both had to be forgotten while they mattered.
    forgotten: u64,
    /// Bytes that they cost, and may cost at most.
    memory: usize,
    memory_limit: usize,
}

impl Polling {
    pub(super) fn new(memory_limit: usize) -> Self {
        let (polls, failures) = (Recently::new(MAX_KEPT), Recently::new(MAX_KEPT));
        Self { polls, failures, forgotten: 0, memory: 0, memory_limit }
    }

    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// How many polls and failures had to be forgotten, so that a client that fell back may have been missed.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Keeps a poll, in place of an older one where there is no room.
    fn keep_poll(&mut self, poll: Poll) {
        let at = poll.at;
        self.memory += poll.memory();
        self.drop_before(at.before(WINDOW));
        let oldest = self.polls.push(at, poll);
        self.forget(oldest.map(|poll| poll.memory()));
        self.make_room();
    }

    /// Keeps a failure, in place of an older one where there is no room.
    fn keep_failure(&mut self, failure: Failure) {
        self.memory += failure.memory();
        let oldest = self.failures.push(failure.at, failure);
        self.forget(oldest.map(|failure| failure.memory()));
        self.make_room();
    }

    /// Drops what no poll or failure will be matched with any more.
    fn drop_before(&mut self, at: Timestamp) {
        let memory = |polling: &Self| -> usize {
            let polls = polling.polls.iter().take_while(|(then, _)| *then < at).map(|(_, poll)| poll.memory());
            let failures = polling.failures.iter().take_while(|(then, _)| *then < at).map(|(_, one)| one.memory());
            polls.chain(failures).sum()
        };
        self.memory -= memory(self);
        self.polls.drop_before(at);
        self.failures.drop_before(at);
    }

    /// Forgets the oldest while they take too much memory.
    fn make_room(&mut self) {
        while self.memory > self.memory_limit && !(self.polls.is_empty() && self.failures.is_empty()) {
            let poll = self.polls.pop().map(|poll| poll.memory());
            let failure = if poll.is_none() { self.failures.pop().map(|failure| failure.memory()) } else { None };
            self.forget(poll.or(failure));
        }
    }

    /// Counts one that was forgotten, of so many bytes.
    fn forget(&mut self, bytes: Option<usize>) {
        self.memory -= bytes.unwrap_or(0);
        self.forgotten += u64::from(bytes.is_some());
    }

    /// Looks at an ordinary request.
    pub(super) fn request(&mut self, link: &Link, head: &RequestHead<'_>) -> Option<Fallback> {
        let base = polling_base(head.target).filter(|_| head.target.len() <= MAX_TARGET)?;
        let poll = Poll {
            at: head.stamp.at,
            frame: head.stamp.frame,
            client: link.client_host(),
            server: link.server_socket(),
            base: base.into(),
            target: field::path(head.target).into(),
            session: session(head.target).map(Into::into),
            agent: hash(head::values(head.fields, "user-agent").next().unwrap_or(b"")),
        };
        let fallback = self.failures.iter_mut().find_map(|failure| failure.count(&poll));
        self.keep_poll(poll);
        fallback
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, attempt: &Arc<Attempt>, link: &Link) -> Option<Fallback> {
        let request = attempt.first().request.as_ref()?;
        let target = &*request.target;
        let mut failure = Failure {
            attempt: Arc::clone(attempt),
            at: attempt.decided_at,
            client: link.client_host(),
            server: link.server_socket(),
            base: websocket_base(target).into(),
            session: session(target).map(Into::into),
            agent: hash(request.field("user-agent").unwrap_or("").as_bytes()),
            polls: 0,
            first: None,
        };
        let fallback = self.polls.iter().filter_map(|(_, poll)| failure.count(poll)).next();
        self.keep_failure(failure);
        fallback
    }
}

impl Poll {
    fn memory(&self) -> usize {
        let session = self.session.as_ref().map_or(0, |session| block(session.len()));
        2 * size_of::<Self>() + block(self.base.len()) + block(self.target.len()) + session
    }
}

impl Failure {
    /// Its first poll is counted from the beginning, as long as it can be.
    fn memory(&self) -> usize {
        let session = self.session.as_ref().map_or(0, |session| block(session.len()));
        2 * size_of::<Self>() + self.attempt.memory() + block(self.base.len()) + block(MAX_TARGET) + session
    }

    /// Counts a poll that is this client's; the one that makes it a habit tells.
    fn count(&mut self, poll: &Poll) -> Option<Fallback> {
        let after = poll.at > self.at && poll.at.since(self.at) < WINDOW;
        let same = poll.client == self.client
            && poll.server == self.server
            && poll.base == self.base
            // A session names its client; without one, at least the same program must go on.
            && match &self.session {
                Some(session) => poll.session.as_ref() == Some(session),
                None => poll.agent == self.agent,
            };
        if !after || !same {
            return None;
        }
        self.polls += 1;
        let (target, frame) = self.first.get_or_insert_with(|| (poll.target.clone(), poll.frame)).clone();
        (self.polls == ENOUGH).then(|| Fallback {
            attempt: Arc::clone(&self.attempt),
            at: poll.at,
            target,
            frame,
            polls: self.polls,
        })
    }
}

/// The base path of a long-polling request; `None` for others.
pub(super) fn polling_base(target: &str) -> Option<&str> {
    let (path, query) = target.split_at(field::path(target).len());
    if !query.is_empty() && query[1..].split('&').any(|pair| pair == "transport=polling") {
        return Some(path);
    }
    // SockJS: BASE/SERVER/SESSION/TRANSPORT.
    let (rest, transport) = path.split_at(memchr::memrchr(b'/', path.as_bytes())?);
    let transport = &transport[1..];
    matches!(transport, "xhr" | "xhr_streaming" | "eventsource" | "htmlfile" | "jsonp").then(|| two_up(rest))
}

/// The base path of a WebSocket request to the same service.
fn websocket_base(target: &str) -> &str {
    let path = field::path(target);
    match path.rsplit_once('/') {
        Some((rest, "websocket")) if rest.matches('/').count() >= 2 => two_up(rest),
        _ => path,
    }
}

fn two_up(path: &str) -> &str {
    path.rsplitn(3, '/').nth(2).unwrap_or(path)
}

/// The engine.io session id.
pub(super) fn session(target: &str) -> Option<&str> {
    target.split_once('?')?.1.split('&').find_map(|pair| pair.strip_prefix("sid="))
}

fn hash(bytes: &[u8]) -> u64 {
    FixedState::default().hash_one(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_of_one_service_agree() {
        assert_eq!(polling_base("/socket.io/?EIO=4&transport=polling&sid=x"), Some("/socket.io/"));
        assert_eq!(websocket_base("/socket.io/?EIO=4&transport=websocket&sid=x"), "/socket.io/");
        assert_eq!(polling_base("/echo/000/abcd/xhr_streaming"), Some("/echo"));
        assert_eq!(websocket_base("/echo/000/abcd/websocket"), "/echo");
        assert_eq!(polling_base("/index.html"), None);
        assert_eq!(session("/socket.io/?EIO=4&sid=x"), Some("x"));
    }
}
