//! An attempt as bytes: first what differs each time (times, frames, addresses, keys), then what is much the same for all
//! attempts of a proxy's clients.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::{
    bytes::{number, take, take_number},
    texts::Key,
};
use crate::engine::{
    event::{
        Attempt, AttemptId, Body, Candidates, Confidence, Endpoint, Field, FirstBytes, Hop, HttpVersion, Interim, Join,
        JoinMethod, Outcome, Process, Product, ProductName, ProxyHeader, Request, Response, Role, Silence,
    },
    frame::{ClockId, InterfaceId},
    time::Timestamp,
};

/// What an attempt comes to before it is compressed.
pub(super) struct Plain {
    pub(super) bytes: Vec<u8>,
    /// Where what is much the same begins.
    pub(super) alike: usize,
}

/// Enumerations by number.
trait Choice: Sized {
    fn code(self) -> u64;
    fn of(code: u64) -> Option<Self>;
}

macro_rules! choices {
    ($($name:ident { $($variant:ident),+ })+) => {$(
        impl Choice for $name {
            fn code(self) -> u64 {
                match self {
                    $(Self::$variant => Self::$variant as u64,)+
                }
            }

            fn of(code: u64) -> Option<Self> {
                [$(Self::$variant),+].into_iter().find(|choice| choice.code() == code)
            }
        }
    )+};
}

choices! {
    Outcome { Upgraded, Refused, Failed, Unknown }
    JoinMethod { WebSocketKey, RequestId, Fingerprint, Process }
    Confidence { Certain, Probable, Ambiguous }
    Role { Downstream, Middle, Upstream, Only, Retry, Side }
    Silence { Waiting, Refused, Unreachable, ClosedByServer, ClosedByClient, NotCaptured, NotHttp }
    HttpVersion { Http10, Http11 }
}

/// How an endpoint is told.
const PATH: u64 = 0;
const SAME_IP: u64 = 1;
const IPV4: u64 = 2;
const IPV6: u64 = 3;

/// What a body is.
const TEXT: u64 = 0;
const CODED: u64 = 1;
const BINARY: u64 = 2;

/// What comes next is told by how it differs from this.
struct Last {
    at: i64,
    frame: u64,
    ip: Option<IpAddr>,
    key: Key,
}

impl Last {
    fn new() -> Self {
        Self { at: 0, frame: 0, ip: None, key: Key::default() }
    }
}

/// Turns small differences, whichever way, into small numbers.
fn zigzag(difference: i64) -> u64 {
    ((difference << 1) ^ (difference >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

impl Choice for ProductName {
    fn code(self) -> u64 {
        self as u64
    }

    fn of(code: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }
}

pub(super) fn pack(attempt: &Attempt) -> Plain {
    let mut packer = Packer { own: Vec::new(), alike: Vec::new(), last: Last::new() };
    packer.attempt(attempt);
    let mut bytes = Vec::with_capacity(packer.own.len() + packer.alike.len() + 2);
    number(&mut bytes, packer.own.len() as u64);
    bytes.extend(packer.own);
    let alike = bytes.len();
    bytes.extend(packer.alike);
    Plain { bytes, alike }
}

struct Packer {
    own: Vec<u8>,
    alike: Vec<u8>,
    last: Last,
}

impl Packer {
    fn attempt(&mut self, attempt: &Attempt) {
        let Attempt { id, upgrade, outcome, decided_at, join, hops } = attempt;
        self.own.extend(id.0.to_le_bytes());
        self.text(upgrade);
        self.choice(*outcome);
        self.time(*decided_at);
        self.optional(join.as_ref(), |to, Join { method, confidence }| {
            to.choice(*method);
            to.choice(*confidence);
        });
        self.number(hops.len() as u64);
        hops.iter().for_each(|hop| self.hop(hop));
    }

    fn hop(&mut self, hop: &Hop) {
        let Hop {
            role,
            client,
            server,
            interface,
            clock,
            proxy_header,
            request,
            interim,
            response,
            silence,
            not_http,
            product,
            candidates,
            processes,
        } = hop;
        self.choice(*role);
        self.endpoint(client);
        self.endpoint(server);
        self.number(interface.0.into());
        self.number(clock.0.into());
        self.optional(proxy_header.as_ref(), Self::proxy_header);
        self.optional(request.as_ref(), Self::request);
        self.optional(interim.as_ref(), Self::interim);
        self.optional(response.as_ref(), Self::response);
        self.optional(silence.as_ref(), |to, silence| to.choice(*silence));
        self.optional(not_http.as_ref(), Self::first_bytes);
        self.optional(product.as_ref(), |to, Product { name, version }| {
            to.choice(*name);
            to.optional(version.as_deref(), Self::text);
        });
        self.number(candidates.bits().into());
        for process in processes {
            self.optional(process.as_ref(), |to, Process { pid, command }| {
                number(&mut to.own, (*pid).into());
                to.text(command);
            });
        }
    }

    fn request(&mut self, request: &Request) {
        let Request { frame, at, method, target, version, fields, complete } = request;
        self.place(*frame, *at);
        self.text(method);
        self.text(target);
        self.choice(*version);
        self.fields(fields);
        self.number((*complete).into());
    }

    fn response(&mut self, response: &Response) {
        let Response { frame, at, status, version, reason, fields, complete, body } = response;
        self.place(*frame, *at);
        self.number((*status).into());
        self.choice(*version);
        self.text(reason);
        self.fields(fields);
        self.number((*complete).into());
        self.optional(body.as_ref(), Self::body);
    }

    fn body(&mut self, body: &Body) {
        let (kind, text) = match body {
            Body::Text(text) => (TEXT, &**text),
            Body::Coded(coding) => (CODED, &**coding),
            Body::Binary => (BINARY, ""),
        };
        self.number(kind);
        self.text(text);
    }

    fn first_bytes(&mut self, first: &FirstBytes) {
        let FirstBytes { frame, at, bytes } = first;
        self.place(*frame, *at);
        self.number(bytes.len() as u64);
        self.alike.extend(&**bytes);
    }

    fn proxy_header(&mut self, header: &ProxyHeader) {
        let ProxyHeader { frame, line, length, source } = header;
        self.frame(*frame);
        self.optional(line.as_deref(), Self::text);
        self.number((*length).into());
        self.optional(source.as_ref(), |to, source| to.endpoint(&Endpoint::Ip(*source)));
    }

    fn interim(&mut self, interim: &Interim) {
        let Interim { status, frame, at, count } = interim;
        self.place(*frame, *at);
        self.number((*status).into());
        self.number((*count).into());
    }

    fn fields(&mut self, fields: &[Field]) {
        self.number(fields.len() as u64);
        for Field { name, value } in fields {
            self.text(name);
            self.text(value);
        }
    }

    fn endpoint(&mut self, endpoint: &Endpoint) {
        let address = match endpoint {
            Endpoint::Path(path) => {
                self.number(PATH);
                return self.text(path);
            }
            Endpoint::Ip(address) => *address,
        };
        if self.last.ip.map(|ip| SocketAddr::new(ip, address.port())) == Some(address) {
            self.number(SAME_IP);
        } else {
            match address {
                SocketAddr::V4(address) => {
                    self.number(IPV4);
                    self.own.extend(address.ip().octets());
                }
                SocketAddr::V6(address) => {
                    self.number(IPV6);
                    self.own.extend(address.ip().octets());
                    self.number(address.flowinfo().into());
                    self.number(address.scope_id().into());
                }
            }
        }
        self.own.extend(address.port().to_le_bytes());
        self.last.ip = Some(address.ip());
    }

    fn place(&mut self, frame: u64, at: Timestamp) {
        self.frame(frame);
        self.time(at);
    }

    fn frame(&mut self, frame: u64) {
        number(&mut self.own, zigzag(frame.wrapping_sub(self.last.frame).cast_signed()));
        self.last.frame = frame;
    }

    fn time(&mut self, at: Timestamp) {
        let at = at.as_nanos();
        number(&mut self.own, zigzag(at.wrapping_sub(self.last.at)));
        self.last.at = at;
    }

    fn choice(&mut self, choice: impl Choice) {
        self.number(choice.code());
    }

    fn optional<T: ?Sized>(&mut self, value: Option<&T>, put: impl FnOnce(&mut Self, &T)) {
        self.number(value.is_some().into());
        if let Some(value) = value {
            put(self, value);
        }
    }

    fn number(&mut self, value: u64) {
        number(&mut self.alike, value);
    }

    fn text(&mut self, text: &str) {
        self.last.key.put(text, &mut self.alike, &mut self.own);
    }
}

/// Reads what [`pack`] wrote.
pub(super) struct Unpacker<'a> {
    own: &'a [u8],
    alike: &'a [u8],
    last: Last,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(mut plain: &'a [u8]) -> Option<Self> {
        let length = usize::try_from(take_number(&mut plain)?).ok()?;
        let own = take(&mut plain, length)?;
        Some(Self { own, alike: plain, last: Last::new() })
    }

    pub(super) fn attempt(mut self) -> Option<Attempt> {
        Some(Attempt {
            id: AttemptId(u64::from_le_bytes(self.array()?)),
            upgrade: self.text()?,
            outcome: self.choice()?,
            decided_at: self.time()?,
            join: self.optional(|from| Some(Join { method: from.choice()?, confidence: from.choice()? }))?,
            hops: (0..self.number()?).map(|_| self.hop()).collect::<Option<_>>()?,
        })
    }

    fn hop(&mut self) -> Option<Hop> {
        Some(Hop {
            role: self.choice()?,
            client: self.endpoint()?,
            server: self.endpoint()?,
            interface: InterfaceId(self.small()?),
            clock: ClockId(self.small()?),
            proxy_header: self.optional(Self::proxy_header)?,
            request: self.optional(Self::request)?,
            interim: self.optional(Self::interim)?,
            response: self.optional(Self::response)?,
            silence: self.optional(Self::choice)?,
            not_http: self.optional(Self::first_bytes)?,
            product: self
                .optional(|from| Some(Product { name: from.choice()?, version: from.optional(Self::text)? }))?,
            candidates: Candidates::from_bits(self.small()?),
            processes: [self.process()?, self.process()?],
        })
    }

    fn process(&mut self) -> Option<Option<Process>> {
        self.optional(|from| Some(Process { pid: from.own()?.try_into().ok()?, command: from.text()? }))
    }

    fn request(&mut self) -> Option<Request> {
        Some(Request {
            frame: self.frame()?,
            at: self.time()?,
            method: self.text()?,
            target: self.text()?,
            version: self.choice()?,
            fields: self.fields()?,
            complete: self.number()? == 1,
        })
    }

    fn response(&mut self) -> Option<Response> {
        Some(Response {
            frame: self.frame()?,
            at: self.time()?,
            status: self.small()?,
            version: self.choice()?,
            reason: self.text()?,
            fields: self.fields()?,
            complete: self.number()? == 1,
            body: self.optional(Self::body)?,
        })
    }

    fn body(&mut self) -> Option<Body> {
        let (kind, text) = (self.number()?, self.text::<Box<str>>()?);
        match kind {
            TEXT => Some(Body::Text(text)),
            CODED => Some(Body::Coded(text)),
            BINARY => Some(Body::Binary),
            _ => None,
        }
    }

    fn first_bytes(&mut self) -> Option<FirstBytes> {
        let (frame, at, length) = (self.frame()?, self.time()?, self.small()?);
        Some(FirstBytes { frame, at, bytes: take(&mut self.alike, length)?.into() })
    }

    fn proxy_header(&mut self) -> Option<ProxyHeader> {
        Some(ProxyHeader {
            frame: self.frame()?,
            line: self.optional(Self::text)?,
            length: self.small()?,
            source: self.optional(Self::endpoint)?.and_then(|source| source.address()),
        })
    }

    fn interim(&mut self) -> Option<Interim> {
        let (frame, at) = (self.frame()?, self.time()?);
        Some(Interim { status: self.small()?, frame, at, count: self.small()? })
    }

    fn fields(&mut self) -> Option<Vec<Field>> {
        (0..self.number()?).map(|_| Some(Field { name: self.text()?, value: self.text()? })).collect()
    }

    fn endpoint(&mut self) -> Option<Endpoint> {
        let address = match self.number()? {
            PATH => return Some(Endpoint::Path(self.text()?)),
            SAME_IP => SocketAddr::new(self.last.ip?, self.port()?),
            IPV4 => SocketAddrV4::new(self.array::<4>()?.into(), self.port()?).into(),
            IPV6 => {
                let (ip, flow, scope) = (self.array::<16>()?.into(), self.small()?, self.small()?);
                SocketAddrV6::new(ip, self.port()?, flow, scope).into()
            }
            _ => return None,
        };
        self.last.ip = Some(address.ip());
        Some(Endpoint::Ip(address))
    }

    fn port(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn frame(&mut self) -> Option<u64> {
        self.last.frame = self.last.frame.wrapping_add_signed(unzigzag(self.own()?));
        Some(self.last.frame)
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.last.at = self.last.at.wrapping_add(unzigzag(self.own()?));
        Some(Timestamp::from_nanos(self.last.at))
    }

    fn choice<T: Choice>(&mut self) -> Option<T> {
        T::of(self.number()?)
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.number()? == 0 { Some(None) } else { read(self).map(Some) }
    }

    fn own(&mut self) -> Option<u64> {
        take_number(&mut self.own)
    }

    fn number(&mut self) -> Option<u64> {
        take_number(&mut self.alike)
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.number()?).ok()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        take(&mut self.own, N)?.try_into().ok()
    }

    fn text<T: for<'b> From<&'b str>>(&mut self) -> Option<T> {
        self.last.key.take(&mut self.alike, &mut self.own).map(T::from)
    }
}
