//! Who a proxy is, by the strength of what shows it: its process; its own fields and Via; an error page of its own; a
//! Server field that its origin did not send. Habits that several products share only narrow the choice.

use std::cmp::Reverse;

use super::{Candidates, Mark, PROFILES, Product, ProductName, Profile, Spelling, profile};
use crate::engine::event::{Field, Fields, Request, Response};

/// What is longer is no version.
const LONGEST_VERSION: usize = 64;
/// Names that were all written anew are a habit; fewer may be chance.
const ENOUGH_NAMES: usize = 3;
/// Processes that pass bytes on between two connections: who is behind them writes what is read.
const PASSERS: [&str; 6] = ["docker-proxy", "rootlessport", "slirp4netns", "socat", "kube-proxy", "conmon"];

/// One hop's request and what came back.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The request.
    pub request: &'a Request,
    /// The final response.
    pub response: Option<&'a Response>,
    /// The first bytes of its body, where it was kept.
    pub body: &'a [u8],
}

/// Who a proxy is, as far as is known.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Identity {
    strength: Strength,
    product: Option<Product>,
    candidates: Candidates,
}

/// What an identity rests on, weakest first.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Strength {
    #[default]
    Nothing,
    Habit,
    Server,
    Page,
    Own,
    Process,
}

impl Identity {
    /// The product, where that is known.
    #[must_use]
    pub fn product(&self) -> Option<&Product> {
        self.product.as_ref()
    }

    /// The products that it may be, where only habits show it.
    #[must_use]
    pub fn candidates(&self) -> Candidates {
        self.candidates
    }

    fn known(name: ProductName, strength: Strength) -> Self {
        Self { strength, product: Some(Product { name, version: None }), candidates: Candidates::default() }
    }

    fn name(&self) -> Option<ProductName> {
        self.product.as_ref().map(|product| product.name)
    }

    /// Takes what was found later, unless it is weaker than what is known. Of the same product, a version is kept.
    pub fn learn(&mut self, found: Self) {
        if self.name().is_some() && self.name() == found.name() {
            self.strength = self.strength.max(found.strength);
            let version = found.product.and_then(|product| product.version);
            if let (Some(product), Some(version)) = (&mut self.product, version) {
                product.version = Some(version);
            }
        } else if found.strength != Strength::Nothing && found.strength >= self.strength {
            *self = found;
        }
    }

    /// The same, where the process is known that holds the proxy's ends: it is right whatever else was seen.
    #[must_use]
    pub fn held_by(self, command: &str) -> Self {
        let held = by_process(command);
        if PASSERS.contains(&command) {
            return Self::default();
        }
        if self.product.as_ref().is_some_and(|product| held.contains(product.name)) {
            return Self { strength: Strength::Process, ..self };
        }
        match held.and(self.candidates).iter().next().or_else(|| held.iter().next()) {
            Some(name) => Self::known(name, Strength::Process),
            None => self,
        }
    }
}

/// The products whose processes have this name, the usual one first.
fn by_process(command: &str) -> Candidates {
    PROFILES.iter().filter(|profile| profile.processes.contains(&command)).map(|profile| profile.name).collect()
}

/// Who a proxy is by what came to it and what it sent on, if that was seen.
#[must_use]
pub fn identify(down: Message<'_>, up: Option<Message<'_>>) -> Identity {
    if up.is_some_and(|up| passes_bytes(down, up)) {
        return Identity::default();
    }
    let written = up.and_then(|up| spelling(down.request, up.request));
    let fits = |profile: &Profile| written.is_none_or(|written| written == profile.spelling);
    let found = own(down, up).filter(|name| fits(profile(*name))).map(|name| Identity::known(name, Strength::Own));
    let found = found.or_else(|| by_page(down, up).map(|name| Identity::known(name, Strength::Page)));
    let found = found.or_else(|| {
        by_server(down, up).filter(|name| fits(profile(*name))).map(|name| Identity::known(name, Strength::Server))
    });
    let mut found = found.unwrap_or_else(|| by_habit(down, up, written));
    if let Some(product) = &mut found.product {
        product.version = version(product.name, down, up);
    }
    found
}

/// The product that sent a request whose client's side was not seen. What was added may have been passed on, so that only
/// fields of a product that writes every name anew tell who sent it; or the process does.
#[must_use]
pub fn sender(request: &Request, command: Option<&str>) -> Option<Product> {
    let lower = is_lower(request.lines());
    let marked = |profile: &&Profile| {
        profile.spelling == Spelling::Lower && profile.sends.iter().any(|mark| mark.is_in(request.lines()))
    };
    let name = || PROFILES.iter().find(|profile| lower && marked(profile)).map(|profile| profile.name);
    let found = name().map_or_else(Identity::default, |name| Identity::known(name, Strength::Own));
    match command {
        Some(command) => found.held_by(command).product,
        None => found.product,
    }
}

/// The product whose own error page a response is: its body, as far as it was kept, is not the origin's.
#[must_use]
pub fn page_of(body: &[u8]) -> Option<ProductName> {
    let holds = |part: &str| body.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()));
    PROFILES.iter().find(|profile| profile.pages.iter().any(|page| holds(page))).map(|profile| profile.name)
}

/// Whether a proxy of connections (layer 4) is between: it passes on what it gets, to the byte.
fn passes_bytes(down: Message<'_>, up: Message<'_>) -> bool {
    let (one, other) = (down.request, up.request);
    let same = one.target == other.target && one.version == other.version && one.fields == other.fields;
    let answers = |one: &Response, other: &Response| one.status == other.status && one.fields == other.fields;
    same && down.response.zip(up.response).is_none_or(|(one, other)| answers(one, other))
}

/// Whether the answer that went to the client is that of the hop behind.
fn is_relayed(down: Message<'_>, up: Message<'_>) -> bool {
    down.response.zip(up.response).is_some_and(|(one, other)| one.status == other.status)
}

/// The product whose own fields were added on the way, or whose name in Via.
fn own(down: Message<'_>, up: Option<Message<'_>>) -> Option<ProductName> {
    let sent = up.and_then(|up| sent_by(down.request, up.request));
    sent.or_else(|| answered_by(down.response?, up.and_then(|up| up.response)))
}

/// Whose fields a forwarded request has; the longest mark is the most specific.
fn sent_by(before: &Request, after: &Request) -> Option<ProductName> {
    let marks = PROFILES.iter().flat_map(|profile| profile.sends.iter().map(move |mark| (mark, profile.name)));
    let added = marks.filter(|(mark, _)| mark.was_added(before, after));
    let longest = added.max_by_key(|(mark, name)| (mark.names.len(), Reverse(*name)));
    longest.map(|(_, name)| name).or_else(|| by_via(after.joined("via"), before.joined("via").as_deref()))
}

/// Whose fields an answer has that are not those of the answer behind it.
fn answered_by(response: &Response, behind: Option<&Response>) -> Option<ProductName> {
    let is_own = |name: &&str| {
        let line = response.lines().iter().find(|line| &*line.name == *name);
        line.is_some_and(|line| behind.and_then(|behind| behind.field(name)) != Some(&*line.value))
    };
    let named = PROFILES.iter().find(|profile| profile.answers.iter().any(is_own)).map(|profile| profile.name);
    named.or_else(|| {
        // Who writes every name in lower case, and is not the one named, passed it on.
        let line = response.lines().iter().rfind(|line| line.name.eq_ignore_ascii_case("via"))?;
        let name = by_via(response.joined("via"), behind.and_then(|behind| behind.joined("via")).as_deref())?;
        let lowered = is_lower_name(&line.name);
        (lowered == (profile(name).spelling == Spelling::Lower)).then_some(name)
    })
}

/// Who added the last member of Via.
fn by_via(via: Option<String>, before: Option<&str>) -> Option<ProductName> {
    let via = via.filter(|via| before != Some(via))?;
    let member = via.rsplit(',').next()?.to_ascii_lowercase();
    let mut words = member.split([' ', '(', ')', '/']);
    words.find_map(|word| PROFILES.iter().find(|profile| profile.via.contains(&word))).map(|profile| profile.name)
}

/// Whose own page the client got in place of what upstream answered, if that did.
fn by_page(down: Message<'_>, up: Option<Message<'_>>) -> Option<ProductName> {
    let response = down.response?;
    let name = page_of(down.body).filter(|_| !up.is_some_and(|up| is_relayed(down, up)))?;
    // Another proxy passed it on: one that writes names in lower case, or that names itself.
    let lowered = profile(name).spelling == Spelling::Kept && is_lower(response.lines());
    let other = response.field("server").and_then(server).is_some_and(|(named, _)| named != name);
    (!lowered && !other).then_some(name)
}

/// The product that wrote Server: not the origin, as that sent none, or another one. A product that always writes its own
/// may have done so even where it is the same; the order of the request's fields then has to say so too.
fn by_server(down: Message<'_>, up: Option<Message<'_>>) -> Option<ProductName> {
    let response = down.response?;
    let line = response.lines().iter().find(|line| line.name.eq_ignore_ascii_case("server"))?;
    let profile = profile(server(&line.value)?.0);
    let spelled = &*line.name == if profile.spelling == Spelling::Lower { "server" } else { "Server" };
    let begins = response.lines().iter().map(|line| &*line.name).take(profile.answer_begins.len());
    if !spelled || !begins.eq(profile.answer_begins.iter().copied()) {
        return None;
    }
    let same = |up: &Message<'_>| {
        let behind = up.response.and_then(|behind| behind.field("server"));
        is_relayed(down, *up) && behind == Some(&*line.value)
    };
    match up.filter(same) {
        None => Some(profile.name),
        Some(up) => {
            let arranged = profile.arranges.is_some_and(|arranges| arranges(down.request, up.request));
            (profile.replaces_server && arranged).then_some(profile.name)
        }
    }
}

/// The product of a Server value, and its version.
fn server(value: &str) -> Option<(ProductName, Option<&str>)> {
    let word = value.split_whitespace().next()?;
    let (name, version) = word.split_once('/').map_or((word, None), |(name, version)| (name, Some(version)));
    let known = |profile: &&Profile| profile.servers.iter().any(|server| server.eq_ignore_ascii_case(name));
    let profile = PROFILES.iter().find(known)?;
    Some((profile.name, version.filter(|version| version.len() <= LONGEST_VERSION)))
}

/// The version of a product that is known, where its own answer tells.
fn version(name: ProductName, down: Message<'_>, up: Option<Message<'_>>) -> Option<Box<str>> {
    let value = down.response?.field("server")?;
    let (named, version) = server(value)?;
    let behind = up.and_then(|up| up.response).and_then(|behind| behind.field("server"));
    let is_own = behind != Some(value) || profile(name).replaces_server;
    version.filter(|_| named == name && is_own).map(Into::into)
}

/// The products that have a habit. Where one alone also orders fields as these are, it is that one.
fn by_habit(down: Message<'_>, up: Option<Message<'_>>, written: Option<Spelling>) -> Identity {
    let (Some(up), Some(written)) = (up, written.filter(|written| *written != Spelling::Kept)) else {
        return Identity::default();
    };
    let alike = || PROFILES.iter().filter(|profile| profile.spelling == written);
    let arranged = |profile: &&Profile| profile.arranges.is_some_and(|is| is(down.request, up.request));
    if let Some(profile) = alike().find(arranged) {
        return Identity::known(profile.name, Strength::Own);
    }
    let candidates = alike().map(|profile| profile.name).collect();
    Identity { strength: Strength::Habit, product: None, candidates }
}

/// How the names of passed fields were written; `None` where that cannot be told, or not all were treated alike. A proxy
/// sets the fields of one hop itself, however it treats the others.
fn spelling(before: &Request, after: &Request) -> Option<Spelling> {
    const OF_ONE_HOP: [&str; 3] = ["host", "connection", "upgrade"];
    let (mut lowered, mut as_go, mut kept, mut kept_lower) = (false, false, false, false);
    for line in after.lines().iter().filter(|line| !OF_ONE_HOP.iter().any(|name| name.eq_ignore_ascii_case(&line.name)))
    {
        let Some(came) = before.lines().iter().find(|came| came.name.eq_ignore_ascii_case(&line.name)) else {
            continue;
        };
        let go = go_name(&came.name);
        match () {
            () if came.name == line.name => {
                kept_lower |= is_lower_name(&came.name);
                kept |= !is_lower_name(&came.name) && go != *came.name;
            }
            () if is_lower_name(&line.name) => lowered = true,
            () => as_go |= go == *line.name,
        }
    }
    match (lowered, as_go, kept, kept_lower) {
        (true, false, false, _) if is_lower(after.lines()) => Some(Spelling::Lower),
        (false, true, false, false) => Some(Spelling::Go),
        (false, false, true, _) => Some(Spelling::Kept),
        _ => None,
    }
}

/// A name as Go writes it.
fn go_name(name: &str) -> String {
    let mut begins = true;
    let write = |c: char| {
        let written = if begins { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        begins = c == '-';
        written
    };
    name.chars().map(write).collect()
}

fn is_lower_name(name: &str) -> bool {
    !name.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_lower(lines: &[Field]) -> bool {
    lines.len() >= ENOUGH_NAMES && lines.iter().all(|line| is_lower_name(&line.name))
}

impl Mark {
    /// Whether these fields are there, as they are written and in this order.
    fn is_in(&self, lines: &[Field]) -> bool {
        self.place(lines).is_some()
    }

    /// Where the first of them stands, if all are there.
    fn place(&self, lines: &[Field]) -> Option<usize> {
        let mut rest = lines.iter().enumerate();
        let mut places = self.names.iter().map(|name| rest.find(|(_, line)| *line.name == **name).map(|(at, _)| at));
        let first = places.next()??;
        places.all(|place| place.is_some()).then_some(first)
    }

    /// Whether these fields were added on the way, and not only passed on.
    fn was_added(&self, before: &Request, after: &Request) -> bool {
        let Some(place) = self.place(after.lines()) else { return false };
        let passed = self.names.iter().all(|name| before.joined(name) == after.joined(name));
        let follows = || {
            let added = |name: &str| self.names.iter().any(|own| own.eq_ignore_ascii_case(name));
            let hop_by_hop = |name: &str| name.eq_ignore_ascii_case("upgrade");
            let mut behind = after.lines()[place..].iter();
            behind.any(|line| !added(&line.name) && !hop_by_hop(&line.name) && before.field(&line.name).is_some())
        };
        !(passed || self.at_end && follows())
    }
}
