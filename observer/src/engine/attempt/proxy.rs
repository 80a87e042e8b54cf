//! What is known of each proxy, by the endpoint it listens on: its product, whether its upstream side is captured, and
//! at which idle times it closed tunnels.

use std::{collections::VecDeque, time::Duration};

use foldhash::fast::FixedState;
use lru::LruCache;
use smallvec::SmallVec;

use super::{
    super::{
        handshake::Handshake,
        host::{Host, Socket},
        memory::block,
        product::{Identity, Message, identify},
        tcp::Link,
        time::Timestamp,
    },
    moment::MOMENT,
};

/// Proxies remembered.
const MAX_PROXIES: usize = 4096;
/// Hosts remembered of each: as many as there may be behind one address of a service.
const MAX_HOSTS: usize = 32;
/// What each costs: itself with two links, and its place in the index, which is at least half full.
const ENTRY: usize = block(size_of::<(Socket, Proxy, [usize; 2])>()) + 32;
/// Spans that one timer makes differ less than this: its own steps, and the way of a segment.
const ALIKE: Duration = Duration::from_millis(100);
/// Idle closes remembered of each.
const MAX_IDLE_TIMES: usize = 16;

/// One proxy.
#[derive(Clone, Default, Debug)]
pub(super) struct Proxy {
    /// What it is.
    pub(super) identity: Identity,
    /// Whether any request of it upstream was seen: then one that is absent was not sent.
    pub(super) upstream_seen: bool,
    senders: Senders,
    /// Idle times at which it closed tunnels.
    idle_times: VecDeque<Duration>,
    /// How others ended lately, by kind.
    ends: [Ends; EndKind::ALL],
}

/// How a tunnel ended that the proxy did not close after silence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EndKind {
    /// The proxy closed it while it was in use: spans are ages.
    InUse,
    /// Its client's side did, after silence.
    FromClient,
    /// Its server's side did, after silence; nothing was seen behind that.
    FromServer,
}

impl EndKind {
    const ALL: usize = 3;
}

/// Spans after which tunnels ended, and when each did.
#[derive(Clone, Default, Debug)]
struct Ends(VecDeque<(Duration, Timestamp)>);

impl Ends {
    /// Adds one. Says how many, with this one, had the same span; those of one moment count once where they may have ended for
    /// another reason at that moment.
    fn add(&mut self, span: Duration, at: Timestamp, by_moment: bool) -> usize {
        let mut times: SmallVec<[Timestamp; MAX_IDLE_TIMES]> =
            self.0.iter().filter(|(other, _)| other.abs_diff(span) <= ALIKE).map(|(_, at)| *at).collect();
        times.push(at);
        times.sort_unstable();
        times.dedup_by(|later, before| by_moment && later.since(*before) <= MOMENT);
        if self.0.len() == MAX_IDLE_TIMES {
            self.0.pop_front();
        }
        self.0.push_back((span, at));
        times.len()
    }
}

/// The hosts that a proxy was seen to send from, beside those it listens on.
#[derive(Clone, Default, Debug)]
struct Senders {
    known: SmallVec<[Host; 2]>,
    /// Whether there may be more, which had to be forgotten.
    forgot: bool,
}

impl Senders {
    fn add(&mut self, host: Host) {
        if self.known.contains(&host) {
            return;
        }
        if self.known.len() == MAX_HOSTS {
            self.forgot = true;
        } else {
            self.known.push(host);
        }
    }
}

impl Proxy {
    /// Whether it closed a tunnel at about this idle time before.
    pub(super) fn closed_at(&self, idle: Duration, tolerance: Duration) -> bool {
        self.idle_times.iter().any(|time| time.abs_diff(idle) <= tolerance)
    }

    /// The idle time at which it closed a tunnel last.
    pub(super) fn idle_timer(&self) -> Option<Duration> {
        self.idle_times.back().copied()
    }

    /// Remembers how another tunnel ended; says how many ended alike, this one among them.
    pub(super) fn count_alike(&mut self, kind: EndKind, span: Duration, at: Timestamp) -> usize {
        self.ends[kind as usize].add(span, at, kind != EndKind::FromServer)
    }

    /// Remembers an idle close.
    pub(super) fn remember(&mut self, idle: Duration) {
        if self.idle_times.len() == MAX_IDLE_TIMES {
            self.idle_times.pop_front();
        }
        self.idle_times.push_back(idle);
    }
}

/// All proxies, by the endpoint they listen on.
#[derive(Debug)]
pub(super) struct Proxies {
    /// In the order in which something was last learned of them.
    by_endpoint: LruCache<Socket, Proxy, FixedState>,
    /// Whether one had to be forgotten that sends from other hosts: who is not known may be that one.
    forgot_senders: bool,
}

impl Default for Proxies {
    fn default() -> Self {
        Self { by_endpoint: LruCache::unbounded_with_hasher(FixedState::default()), forgot_senders: false }
    }
}

impl Proxies {
    /// What is known of one.
    pub(super) fn get(&self, endpoint: Socket) -> Option<&Proxy> {
        self.by_endpoint.peek(&endpoint)
    }

    /// The hosts that the proxy at a connection's server end sends from, as far as is known: those it listens on, and others
    /// seen.
    pub(super) fn hosts(&self, link: &Link) -> SmallVec<[Host; 4]> {
        let seen = self.get(link.server_socket()).map(|proxy| proxy.senders.known.iter().copied());
        [link.server_host(), link.reached].into_iter().chain(seen.into_iter().flatten()).collect()
    }

    /// Whether these are all that it was seen to send from: none had to be forgotten.
    pub(super) fn knows_hosts(&self, link: &Link) -> bool {
        let known = self.get(link.server_socket());
        !known.map_or(self.forgot_senders, |proxy| proxy.senders.forgot)
    }

    /// The hosts at which those listen that were seen to send from another one.
    pub(super) fn sending_from(&self, host: Host) -> impl Iterator<Item = Host> {
        let others = self.by_endpoint.iter().filter(move |(_, proxy)| proxy.senders.known.contains(&host));
        others.map(|(endpoint, _)| endpoint.host())
    }

    /// The entry of one.
    pub(super) fn entry(&mut self, endpoint: Socket) -> &mut Proxy {
        if self.by_endpoint.len() == MAX_PROXIES
            && !self.by_endpoint.contains(&endpoint)
            && let Some((_, oldest)) = self.by_endpoint.pop_lru()
        {
            self.forgot_senders |= oldest.senders.forgot || !oldest.senders.known.is_empty();
        }
        let senders = Senders { known: SmallVec::new(), forgot: self.forgot_senders };
        self.by_endpoint.get_or_insert_mut(endpoint, || Proxy { senders, ..Proxy::default() })
    }

    /// Bytes held, by estimate.
    pub(super) fn memory(&self) -> usize {
        self.by_endpoint.len() * ENTRY
    }

    /// Learns what product answers at the server's end of `hop`, from its answer and from what it sent upstream; that it
    /// forwards, if that was `told`; and from where, if nothing between the two is missing.
    pub(super) fn learn(&mut self, hop: &Handshake, upstream: Option<&Handshake>, (told, is_whole): (bool, bool)) {
        let found = identify(message(hop), upstream.map(message));
        let proxy = self.entry(hop.link.server_socket());
        proxy.identity.learn(found);
        proxy.upstream_seen |= told;
        if let Some(upstream) = upstream.map(|upstream| upstream.link)
            && told
            && is_whole
            && let host = upstream.client_host()
            && !hop.link.leads_to(&upstream)
        {
            proxy.senders.add(host);
        }
    }
}

fn message(hop: &Handshake) -> Message<'_> {
    Message { request: &hop.request, response: hop.response.as_ref(), body: &hop.body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{host::Realm, tcp::ConnectionId};

    fn link(number: u32) -> Link {
        let [a, b, c, d] = number.to_be_bytes();
        Link::new(ConnectionId::default(), ([a, b, c, d], 50_000).into(), ([10, b, c, d], 80).into(), Realm::default())
    }

    #[test]
    fn hosts_that_had_to_be_forgotten_are_missed() {
        let mut proxies = Proxies::default();
        proxies.entry(link(0).server_socket()).senders.add(link(7).client_host());
        for number in 1..4096 {
            proxies.entry(link(number).server_socket());
        }
        assert!(proxies.knows_hosts(&link(0)) && proxies.hosts(&link(0)).contains(&link(7).client_host()));
        proxies.entry(link(4096).server_socket());
        assert!(!proxies.knows_hosts(&link(0)) && !proxies.knows_hosts(&link(4096)));
        assert!(proxies.knows_hosts(&link(1)), "it was there before");
        proxies.entry(link(0).server_socket());
        assert!(!proxies.knows_hosts(&link(0)), "it is new, and may have been there before");
    }

    #[test]
    fn too_many_hosts_are_not_all_known() {
        let mut proxies = Proxies::default();
        let senders = &mut proxies.entry(link(0).server_socket()).senders;
        (1..=32).for_each(|number| senders.add(link(number).client_host()));
        senders.add(link(1).client_host());
        assert!(proxies.knows_hosts(&link(0)));
        proxies.entry(link(0).server_socket()).senders.add(link(33).client_host());
        assert!(!proxies.knows_hosts(&link(0)));
    }
}
