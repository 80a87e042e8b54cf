//! The state of one connection: where each direction stands in its messages, and which requests await an answer.

mod bodies;
mod early;
mod exchange;
mod foreign;
mod heads;
mod mixup;

use std::marker::PhantomData;

use smallvec::SmallVec;

use self::{
    early::Early,
    exchange::{Exchange, Kind},
    foreign::Foreign,
    mixup::Tried,
};
use super::{Listener, Ticket, TlsConnection, Tunnel, chunked::Chunked, preface};
use crate::engine::{
    anomaly::AnomalyKind,
    demand::Skipped,
    event::{ProxyHeader, Silence},
    knowledge::{FlowClass, Hole, HoleKind},
    memory::block,
    tcp::{Closed, Direction, End, Link, Missing, Opening, Passed, Reader, Stamp, Want},
    time::Timestamp,
};

/// Reads both directions of one connection as HTTP/1.
#[derive(Debug)]
pub struct Dialogue<L> {
    client: State,
    server: State,
    outstanding: SmallVec<[Exchange; 1]>,
    tunnel: Option<Box<(Option<Ticket>, Tunnel)>>,
    unusual: Option<Box<Unusual>>,
    /// When bytes to the server, and to the client, were last read, or passed.
    read_at: [Timestamp; 2],
    /// Whether a head was read.
    begun: bool,
    /// Whether the server has sent anything, or may have.
    server_begun: bool,
    class: FlowClass,
    listener: PhantomData<fn(&mut L)>,
}

/// What few connections have at a time.
#[derive(Default, Debug)]
struct Unusual {
    /// The exchange whose response body is passing, and how much of it is still shown.
    showing: Option<(Ticket, u16)>,
    tls: Option<TlsConnection>,
    /// A server that speaks no HTTP/1.
    foreign: Option<Box<Foreign>>,
    /// A client that speaks no HTTP/1, until the server has answered.
    tried: Option<Box<Tried>>,
    /// What the connection begins with.
    proxy_header: Option<Box<ProxyHeader>>,
    /// Whether client bytes are missing while it waits for the answer to an upgrade, or that answer may have been left out.
    missed: bool,
    /// The end of what a tap left out of what the server sent, where answers may be among it.
    skipped: Option<u32>,
    /// When the client closed its half.
    client_ended: Option<Timestamp>,
    /// What the server had of the client's bytes when it went on after some of its own that are missing, and from where.
    resumed: Option<(u32, u32)>,
}

impl Unusual {
    /// Bytes that it refers to.
    fn memory(&self) -> usize {
        let foreign = self.foreign.as_ref().map_or(0, |foreign| block(size_of::<Foreign>()) + foreign.first.memory());
        let header = self.proxy_header.as_ref().map_or(0, |header| block(size_of::<ProxyHeader>()) + header.memory());
        header + foreign + self.tried.as_ref().map_or(0, |tried| block(size_of::<Tried>()) + tried.memory())
    }
}

/// Where one direction stands.
#[derive(Debug, Default)]
enum State {
    /// Between messages.
    #[default]
    Start,
    /// In a head whose end has not come.
    Head(Box<PartialHead>),
    /// In an answer to a request whose head has not come whole.
    Early(Box<Early>),
    /// In a body, with so many bytes to come.
    Body(u64),
    Chunked(Chunked),
    UntilClose,
    /// The client has asked for another protocol; what its next bytes mean is the server's to say.
    Waiting,
    Tunnel,
    /// Not HTTP/1, for good.
    Opaque,
    /// After missing bytes: a message may begin with any segment.
    Lost,
}

#[derive(Debug)]
struct PartialHead {
    bytes: Vec<u8>,
    stamp: Stamp,
}

impl<L> Default for Dialogue<L> {
    fn default() -> Self {
        Self {
            client: State::Start,
            server: State::Start,
            outstanding: SmallVec::new(),
            tunnel: None,
            unusual: None,
            read_at: [Timestamp::MIN; 2],
            begun: false,
            server_begun: false,
            class: FlowClass::Unknown,
            listener: PhantomData,
        }
    }
}

impl<L: Listener> Reader for Dialogue<L> {
    type Listener = L;

    fn bytes(&mut self, to: &mut L, link: &Link, way: Direction, bytes: &[u8], stamp: Stamp) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let offset = u32::try_from(at).unwrap_or(0);
            let stamp = Stamp { sequence: stamp.sequence.wrapping_add(offset), ..stamp };
            let taken = match way {
                Direction::ToServer => self.client_bytes(to, link, &bytes[at..], stamp),
                Direction::ToClient => self.server_bytes(to, link, &bytes[at..], stamp),
            };
            let Some(taken) = taken else { break };
            at += taken;
        }
        if at > 0 {
            self.note_read(way, stamp.at);
        }
        at
    }

    fn gap(&mut self, to: &mut L, link: &Link, way: Direction, missing: &Missing) {
        let Missing { length, stamp, .. } = *missing;
        if length > 0 {
            to.anomaly(link, AnomalyKind::Gap { way, bytes: length }, stamp);
        }
        if let State::Tunnel = self.state(way) {
            self.report_hole(to, link, way, FlowClass::Opaque, missing);
            if let Some(tunnel) = &mut self.tunnel {
                tunnel.1.gap(way, length, missing.by);
                if let Some(ticket) = tunnel.0.filter(|_| tunnel.1.is_ending()) {
                    to.tunnel(ticket, &tunnel.1, None, stamp.at);
                }
            }
            return;
        }
        let bridged = match self.state(way) {
            State::Body(left) if length > 0 && length <= *left => {
                *left -= length;
                if *left == 0 {
                    self.body_done(way);
                }
                true
            }
            State::Chunked(chunks) => chunks.skip(length),
            State::UntilClose => true,
            State::Opaque => {
                self.drop_tried();
                true
            }
            State::Early(early) => {
                early.cut();
                true
            }
            _ => false,
        };
        // What is missing inside a body, whose end is known all the same, hides nothing.
        if !bridged {
            self.report_hole(to, link, way, self.class, missing);
            self.lose(to, link, way, stamp);
        }
    }

    fn end(&mut self, to: &mut L, link: &Link, way: Direction, end: End, at: Timestamp) {
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.1.end(way, at);
            if let Some(ticket) = tunnel.0 {
                to.tunnel(ticket, &tunnel.1, None, at);
            }
            return;
        }
        if way == Direction::ToClient {
            self.close_tried(to, link, end, at);
        }
        if let Some(tls) = self.tls_connection() {
            let ended = if way == Direction::ToServer { &mut tls.client_ended } else { &mut tls.server_ended };
            *ended = Some(ended.map_or(at, |before| before.min(at)));
            to.tls_ended(link, tls);
            return;
        }
        self.cut_head(to, link, way);
        match (way, end) {
            (Direction::ToClient, _) => {
                let ended = self.unusual.as_ref().and_then(|unusual| unusual.client_ended);
                let client_first = ended.is_some_and(|client| client <= at);
                let silence = if client_first { Silence::ClosedByClient } else { Silence::ClosedByServer };
                self.silence_all(to, self.unless_missed(silence), at);
            }
            (Direction::ToServer, End::Reset) => {
                self.silence_all(to, self.unless_missed(Silence::ClosedByClient), at);
            }
            // A client may close its half and still wait for the answer.
            (Direction::ToServer, End::Fin { heard }) => {
                self.unusual().client_ended = Some(at);
                let silence = if heard { Silence::ClosedByClient } else { Silence::NotCaptured };
                let silence = self.unless_missed(silence);
                let waiting = self.outstanding.iter().filter_map(|exchange| exchange.ticket);
                waiting.for_each(|ticket| to.left(ticket, silence, at));
            }
        }
    }

    fn close(&mut self, to: &mut L, link: &Link, why: Closed, at: Timestamp) {
        for way in [Direction::ToServer, Direction::ToClient] {
            self.cut_head(to, link, way);
        }
        if let Some(tunnel) = self.tunnel.take()
            && let (Some(ticket), tunnel) = *tunnel
        {
            to.tunnel(ticket, &tunnel, Some(why), at);
        }
        let silence = match why {
            Closed::CaptureEnded => Silence::Waiting,
            Closed::Ended => self.unless_missed(Silence::ClosedByClient),
            Closed::Evicted | Closed::Replaced => Silence::NotCaptured,
        };
        self.silence_all(to, silence, at);
        to.closed(link, why);
    }

    fn disowned(&mut self, to: &mut L, link: &Link) {
        to.disowned(link);
    }

    fn anomaly(&mut self, to: &mut L, link: &Link, kind: AnomalyKind, stamp: Stamp) {
        to.anomaly(link, kind, stamp);
    }

    fn opened(&mut self, to: &mut L, link: &Link, opening: Opening, stamp: Stamp) {
        for way in [Direction::ToServer, Direction::ToClient] {
            let read_at = &mut self.read_at[way.index()];
            if opening != Opening::Middle && *read_at == Timestamp::MIN {
                *read_at = stamp.at;
            }
        }
        if opening == Opening::Middle {
            self.client = State::Lost;
            self.server = State::Lost;
            (self.begun, self.server_begun) = (true, true);
        }
        // What opened it may come after its first request.
        let is_late = self.begun && opening == Opening::Accepted;
        to.opened(link, if is_late { Opening::Middle } else { opening }, stamp);
    }

    fn needs_order(&self) -> bool {
        !matches!(self.server, State::Tunnel | State::Opaque)
    }

    fn side(bytes: &[u8]) -> i8 {
        if is_response(bytes) { -1 } else { i8::from(is_request(bytes)) }
    }

    fn wants(&self, way: Direction) -> Want {
        self.wanted(way)
    }

    fn passed(&mut self, to: &mut L, link: &Link, way: Direction, passed: &Passed) {
        if passed.length > 0 {
            self.note_read(way, passed.at);
        }
        self.pass(to, link, way, passed);
    }

    fn skipped(&mut self, to: &mut L, link: &Link, lengths: [u64; 2], skipped: &Skipped) {
        self.skip(to, link, lengths, skipped);
    }

    fn control(&mut self, way: Direction, bytes: &[u8], at: Timestamp) {
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.1.control(way, bytes, at);
        }
    }

    fn memory(&self) -> usize {
        let head = |state: &State| match state {
            State::Head(head) => block(head.bytes.capacity()) + block(size_of::<PartialHead>()),
            State::Early(early) => block(early.bytes.capacity()) + block(size_of::<Early>()),
            _ => 0,
        };
        let outstanding =
            if self.outstanding.spilled() { self.outstanding.capacity() * size_of::<Exchange>() } else { 0 };
        let unusual = self.unusual.as_ref().map_or(0, |unusual| block(size_of::<Unusual>()) + unusual.memory());
        unusual
            + head(&self.client)
            + head(&self.server)
            + outstanding
            + self.tunnel.as_ref().map_or(0, |tunnel| block(size_of_val(&**tunnel)) + tunnel.1.memory())
    }

    fn is_precious(&self) -> bool {
        self.tunnel.is_some() || self.outstanding.iter().any(|exchange| matches!(exchange.kind, Kind::Upgrade(_)))
    }
}

impl<L: Listener> Dialogue<L> {
    /// The tunnel that this connection has become, with its exchange's ticket.
    #[must_use]
    pub fn tunnel(&self) -> Option<(Ticket, &Tunnel)> {
        let tunnel = self.tunnel.as_deref()?;
        Some((tunnel.0?, &tunnel.1))
    }

    fn unusual(&mut self) -> &mut Unusual {
        self.unusual.get_or_insert_default()
    }

    fn tls_connection(&mut self) -> Option<&mut TlsConnection> {
        self.unusual.as_mut()?.tls.as_mut()
    }

    fn has_missed(&self) -> bool {
        self.unusual.as_ref().is_some_and(|unusual| unusual.missed)
    }

    fn state(&mut self, way: Direction) -> &mut State {
        match way {
            Direction::ToServer => &mut self.client,
            Direction::ToClient => &mut self.server,
        }
    }

    /// Takes some of the client's bytes; `None` to wait for the server.
    fn client_bytes(&mut self, to: &mut L, link: &Link, bytes: &[u8], stamp: Stamp) -> Option<usize> {
        match &self.client {
            State::Waiting => None,
            State::Lost if !is_request(bytes) => {
                self.pass_over(to, link, bytes, stamp);
                Some(bytes.len())
            }
            State::Start | State::Head(_) | State::Lost => Some(self.head(to, link, Direction::ToServer, bytes, stamp)),
            _ => Some(self.follow(to, link, Direction::ToServer, bytes, stamp)),
        }
    }

    /// Takes some of the server's bytes.
    fn server_bytes(&mut self, to: &mut L, link: &Link, bytes: &[u8], stamp: Stamp) -> Option<usize> {
        match &self.server {
            State::Lost if !is_response(bytes) => Some(bytes.len()),
            State::Start if self.outstanding.is_empty() && self.is_early(bytes, stamp) => {
                self.begin_early(bytes, stamp);
                Some(bytes.len())
            }
            State::Start | State::Head(_) | State::Lost => Some(self.head(to, link, Direction::ToClient, bytes, stamp)),
            _ => Some(self.follow(to, link, Direction::ToClient, bytes, stamp)),
        }
    }

    fn note_read(&mut self, way: Direction, at: Timestamp) {
        let read_at = &mut self.read_at[way.index()];
        *read_at = (*read_at).max(at);
    }

    /// What the connection carries is known now.
    fn classify(&mut self, to: &mut L, link: &Link, class: FlowClass) {
        if self.class != class {
            self.class = class;
            to.classified(link, class);
        }
    }

    fn report_hole(&self, to: &mut L, link: &Link, way: Direction, class: FlowClass, missing: &Missing) {
        // What comes before the first that was seen of a connection was sent before the capture began, unless an answer shows
        // that its request was not captured.
        if missing.length == 0 {
            return;
        }
        let from = self.read_at[way.index()].min(missing.by);
        let hole = Hole::on(link, HoleKind::Gap, Some(way), (from, missing.by));
        let Missing { length: bytes, clock, stamp, .. } = *missing;
        to.hole(link, Hole { clock, bytes, class, frame: stamp.frame, ..hole });
    }

    /// An answer came to a request that was not captured.
    fn report_unasked(&self, to: &mut L, link: &Link, stamp: Stamp, status: u16) {
        let left_out = self.unusual.as_ref().is_some_and(|unusual| unusual.missed || unusual.skipped.is_some());
        if !left_out {
            let from = self.read_at[Direction::ToServer.index()].min(stamp.at);
            let hole = Hole::on(link, HoleKind::Unasked, Some(Direction::ToServer), (from, stamp.at));
            let (clock, class, frame) = (Some(stamp.clock), FlowClass::Http, stamp.frame);
            to.hole(link, Hole { clock, class, frame, answer: Some(status), ..hole });
        }
    }

    /// Bytes of the client after some that are missing, where no request begins: the rest of a message, or another
    /// protocol.
    fn pass_over(&mut self, to: &mut L, link: &Link, bytes: &[u8], stamp: Stamp) {
        if preface::is_another_protocol(bytes) {
            self.classify(to, link, FlowClass::Opaque);
        } else if memchr::memmem::find(bytes, b" HTTP/1.").is_some() {
            // A head whose beginning is missing, or is not where a segment begins.
            let from = self.read_at[Direction::ToServer.index()].min(stamp.at);
            let hole = Hole::on(link, HoleKind::CutHead, Some(Direction::ToServer), (from, stamp.at));
            let (clock, frame) = (Some(stamp.clock), stamp.frame);
            to.hole(link, Hole { clock, class: FlowClass::Http, frame, ..hole });
        }
    }

    /// Where bytes of the client are missing, its FIN may be among them, and what was answered is not known.
    fn unless_missed(&self, silence: Silence) -> Silence {
        let missed = self.has_missed() || self.outstanding.iter().any(|exchange| exchange.kind == Kind::Unknown);
        if missed { Silence::NotCaptured } else { silence }
    }

    /// Message boundaries are no longer known.
    fn lose(&mut self, to: &mut L, link: &Link, way: Direction, stamp: Stamp) {
        self.cut_head(to, link, way);
        match way {
            Direction::ToServer if matches!(self.client, State::Waiting) => self.unusual().missed = true,
            Direction::ToServer => {
                self.client = State::Lost;
                if self.outstanding.last().is_none_or(|last| last.kind != Kind::Unknown) {
                    self.outstanding.push(Exchange::new(None, Kind::Unknown, 0));
                }
            }
            Direction::ToClient if matches!(self.server, State::Tunnel) => {}
            Direction::ToClient => {
                self.server = State::Lost;
                self.server_begun = true;
                self.show_no_more();
                self.silence_answered(to, stamp);
                self.unusual().resumed = stamp.acknowledgment.map(|had| (had, stamp.sequence));
            }
        }
    }

    /// Answers may be among bytes that are missing before what was sent at `stamp`: those to requests which the server had.
    fn silence_answered(&mut self, to: &mut L, stamp: Stamp) {
        let Some(acknowledged) = stamp.acknowledgment else {
            return self.silence_all(to, Silence::NotCaptured, stamp.at);
        };
        let later = self.outstanding.iter().position(|exchange| !exchange.was_had_by(acknowledged));
        let kept = later.map_or_else(SmallVec::new, |later| self.outstanding.drain(later..).collect());
        let waits = matches!(self.client, State::Waiting) && !kept.is_empty();
        self.silence_all(to, Silence::NotCaptured, stamp.at);
        self.outstanding = kept;
        if waits {
            self.client = State::Waiting;
        }
    }

    fn silence_all(&mut self, to: &mut L, silence: Silence, at: Timestamp) {
        for exchange in std::mem::take(&mut self.outstanding) {
            if let Some(ticket) = exchange.ticket {
                to.unanswered(ticket, silence, at);
            }
        }
        if let State::Waiting = self.client {
            self.client = State::Lost;
        }
    }
}

const RESPONSE: &[u8] = b"HTTP/1.";
const METHODS: [&[u8]; 9] =
    [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT ", b"TRACE "];

fn is_response(bytes: &[u8]) -> bool {
    bytes.starts_with(RESPONSE)
}

/// Whether bytes begin like a request line. Only a guess: used where no better knowledge is.
fn is_request(bytes: &[u8]) -> bool {
    METHODS.iter().any(|method| bytes.starts_with(method))
}

#[cfg(test)]
mod tests;
