//! From a tree of handshakes to the attempt that users see: the path of the forwarded request, earlier tries, and the
//! proxy's own requests on the side.

use std::net::SocketAddr;

use sha1::{Digest, Sha1};

use super::{
    super::{
        event::{Attempt, AttemptId, Candidates, Endpoint, Fields, Hop, Join, Outcome, Role, Silence},
        handshake::{
            Handshake,
            field::{self, UpgradeRequest},
        },
        tcp::Link,
        time::Timestamp,
    },
    connect::Failed,
    owner::Owners,
    proxy::Proxies,
};

/// A handshake in its place.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) handshake: Handshake,
    pub(super) parent: Option<usize>,
    pub(super) role: Role,
}

/// Gives every handshake its role. The first one is the client's; `true` when a side request was denied with the status
/// that the client got.
pub(super) fn place(handshakes: Vec<(Handshake, Option<usize>)>) -> (Vec<Placed>, bool) {
    let mut placed: Vec<_> =
        handshakes.into_iter().map(|(handshake, parent)| Placed { handshake, parent, role: Role::Side }).collect();
    let mut path = vec![0];
    let mut denied = false;
    while let Some(&at) = path.last() {
        let children: Vec<_> = (at + 1..placed.len()).filter(|&child| placed[child].parent == Some(at)).collect();
        let Some(main) = main_child(&placed, at, &children, &mut denied) else { break };
        for &child in children.iter().filter(|&&child| child != main) {
            let (tried, forwarded) = (&placed[child].handshake, &placed[main].handshake);
            let before = tried.ended_at.is_some_and(|end| end <= forwarded.request.at);
            let same = field::path(&tried.request.target) == field::path(&forwarded.request.target);
            let refused = tried.status().is_none_or(|status| status >= 400);
            placed[child].role = if before && same && refused { Role::Retry } else { Role::Side };
        }
        path.push(main);
    }
    let last = path.len() - 1;
    for (order, &at) in path.iter().enumerate() {
        placed[at].role = match order {
            0 if last == 0 && placed.len() == 1 => lone_role(&placed[at].handshake),
            0 => Role::Downstream,
            _ if order == last => Role::Upstream,
            _ => Role::Middle,
        };
    }
    (placed, denied)
}

fn lone_role(handshake: &Handshake) -> Role {
    let request = &handshake.request;
    let stripped = request.key().is_some() && !request.is_upgrade() && request.complete;
    if request.is_forwarded() || stripped { Role::Upstream } else { Role::Only }
}

/// Which of the requests that a proxy sent for `at` is the forwarded one.
fn main_child(placed: &[Placed], at: usize, children: &[usize], denied: &mut bool) -> Option<usize> {
    let down = &placed[at].handshake;
    let (side, own): (Vec<_>, Vec<_>) =
        children.iter().copied().partition(|&child| is_side_request(down, &placed[child].handshake));
    let unsure = |side: &Handshake| side.status().is_none() || side.status() == down.status() || fails(down, side);
    *denied |= own.is_empty() && side.iter().any(|&child| unsure(&placed[child].handshake));
    own.into_iter().max_by_key(|&child| {
        let up = &placed[child].handshake;
        let relayed = up.status().is_some() && up.status() == down.status();
        let kept = up.request.is_upgrade() || !down.request.is_upgrade();
        let same_tail = field::tail(&up.request.target) == field::tail(&down.request.target);
        (relayed, kept, same_tail, up.request.at, child)
    })
}

/// Whether a request is the proxy's own: an auth subrequest names the original target in a field, or asks for something else
/// and answers for the proxy alone; a mirrored one gets an answer where its client got 101. One with the upgrade fields is
/// the forwarded one, unless the proxy failed by its answer: an auth subrequest inherits them.
pub(super) fn is_side_request(down: &Handshake, up: &Handshake) -> bool {
    if !down.request.is_upgrade() {
        return false;
    }
    if up.request.is_upgrade() {
        return fails(down, up);
    }
    if down.status() == Some(101) && up.status().is_some_and(|status| status != 101) {
        return true;
    }
    if field::tail(&down.request.target) == field::tail(&up.request.target) {
        return false;
    }
    let denies = matches!(up.status(), Some(401 | 403));
    let allows = matches!(up.status(), Some(200..=299)) && up.status() != down.status();
    // Without an answer it may have been either.
    names_original(up) || denies || allows || fails(down, up) || up.status().is_none()
}

/// Whether a proxy asked for something else, was declined, and failed by itself then: nginx answers 500 where an auth
/// subrequest gets a status that is neither 2xx nor 401 nor 403. A forwarded request's answer would have been relayed.
fn fails(down: &Handshake, up: &Handshake) -> bool {
    let elsewhere = field::tail(&down.request.target) != field::tail(&up.request.target);
    elsewhere && matches!(down.status(), None | Some(500)) && matches!(up.status(), Some(300..=499))
}

/// Whether the same upgrade was asked for beside the path, of a server on it: no proxy does that, so that one of the two is
/// another client's.
pub(super) fn asks_twice(placed: &[Placed]) -> bool {
    let asks = |hop: &&Placed| hop.role == Role::Side && hop.handshake.request.is_upgrade();
    placed.iter().filter(asks).any(|side| {
        let same = |hop: &Placed| is_on_path(hop.role) && hop.handshake.link.shares_server(&side.handshake.link);
        placed.iter().any(same)
    })
}

/// Whether the answer to a request beside the path is missing: it may be the next hop of another one.
pub(super) fn has_unread_side(placed: &[Placed]) -> bool {
    let upgraded = placed[0].handshake.is_upgraded();
    placed.iter().filter(|placed| !is_on_path(placed.role)).any(|side| match side.handshake.silence {
        Some(Silence::NotCaptured) => true,
        Some(Silence::Waiting) | None if upgraded && !side.handshake.request.is_upgrade() => false,
        Some(Silence::Waiting) | None => side.handshake.response.is_none(),
        Some(_) => false,
    })
}

/// Whether every answer on the path is that of the hop behind it.
pub(super) fn is_relayed(placed: &[Placed]) -> bool {
    let mut statuses = placed.iter().filter(|placed| is_on_path(placed.role)).map(|placed| placed.handshake.status());
    let first = statuses.next();
    statuses.all(|status| Some(status) == first)
}

/// Whether each hop of the path came from the host that the one before it led to: none is missing between them.
pub(super) fn is_next_to_next(placed: &[Placed]) -> bool {
    let mut path = placed.iter().filter(|placed| is_on_path(placed.role));
    path.all(|hop| {
        let before = hop.parent.and_then(|at| placed.get(at));
        before.is_none_or(|before| before.handshake.link.leads_to(&hop.handshake.link))
    })
}

/// Whether the answer is that to a copy sent aside, as far as can be seen: another copy, which came through, was sent by
/// another host.
pub(super) fn is_aside(placed: &[Placed]) -> bool {
    let last = placed.iter().rfind(|placed| placed.role == Role::Upstream);
    let came_through = last.is_some_and(|last| last.handshake.is_upgraded());
    came_through && !is_next_to_next(placed) && matches!(placed[0].handshake.status(), Some(200..=299))
}

/// Whether a request tells which target it was made for.
pub(super) fn names_original(handshake: &Handshake) -> bool {
    const MARKS: [&str; 5] =
        ["x-original-uri", "x-original-url", "x-forwarded-uri", "x-auth-request-redirect", "x-original-method"];
    MARKS.iter().any(|mark| handshake.request.field(mark).is_some())
}

/// The attempt that placed handshakes make.
pub(super) fn attempt(
    placed: &[Placed],
    failed: &[Failed],
    join: Option<Join>,
    decided_at: Timestamp,
    timed_out: bool,
    (proxies, owners): (&Proxies, &Owners),
) -> Attempt {
    let client = &placed[0].handshake;
    let mut order: Vec<usize> = (0..placed.len()).collect();
    order.sort_by_key(|&at| (depth(placed, at), !is_on_path(placed[at].role), at));
    let mut hops: Vec<_> = order.into_iter().map(|at| hop(placed, at, proxies, owners)).collect();
    // Who fails to reach somebody else for it passes requests on.
    if !failed.is_empty() && hops[0].role == Role::Only {
        hops[0].role = Role::Downstream;
    }
    hops.extend(failed.iter().map(|failed| failed_hop(failed, owners)));
    let asked = placed.iter().map(|placed| placed.handshake.request.upgrade()).find(|upgrade| !upgrade.is_empty());
    // The key speaks for WebSocket where no Upgrade is left.
    let keyed = || placed.iter().any(|placed| placed.handshake.request.key().is_some()).then(|| "websocket".to_owned());
    Attempt {
        id: id(&client.link, client.sequence, client.request.key().unwrap_or("")),
        upgrade: asked.or_else(keyed).unwrap_or_default(),
        outcome: outcome(client, timed_out),
        decided_at,
        join,
        hops,
    }
}

pub(super) fn is_on_path(role: Role) -> bool {
    !matches!(role, Role::Side | Role::Retry)
}

fn depth(placed: &[Placed], at: usize) -> usize {
    std::iter::successors(placed[at].parent, |&parent| placed[parent].parent).count()
}

fn outcome(client: &Handshake, timed_out: bool) -> Outcome {
    match (client.status(), client.silence) {
        (Some(101), _) => Outcome::Upgraded,
        (Some(_), _) => Outcome::Refused,
        (None, Some(Silence::NotCaptured)) => Outcome::Unknown,
        (None, Some(Silence::Waiting) | None) if !timed_out => Outcome::Unknown,
        (None, _) => Outcome::Failed,
    }
}

fn hop(all: &[Placed], at: usize, proxies: &Proxies, owners: &Owners) -> Hop {
    let placed = &all[at];
    let handshake = &placed.handshake;
    let link = handshake.link;
    let processes = owners.of(&link);
    let is_proxy = matches!(placed.role, Role::Downstream | Role::Middle | Role::Only);
    let known = proxies.get(link.server_socket()).filter(|_| is_proxy);
    let mut identity = known.map(|proxy| proxy.identity.clone()).unwrap_or_default();
    // A proxy accepts one hop and opens the next.
    let next = all.iter().find(|next| next.parent == Some(at) && is_on_path(next.role));
    let opener = || next.and_then(|next| owners.of(&next.handshake.link)[0].clone());
    if let Some(process) = processes[1].clone().or_else(opener).filter(|_| is_proxy) {
        identity = identity.held_by(&process.command);
    }
    Hop {
        role: placed.role,
        client: Endpoint::Ip(link.client),
        server: Endpoint::Ip(link.server),
        interface: handshake.interface,
        clock: handshake.clock,
        proxy_header: handshake.proxy_header.as_deref().cloned(),
        request: Some(handshake.request.clone()),
        interim: handshake.interim,
        response: handshake.answer(),
        silence: if handshake.response.is_some() { None } else { handshake.silence.or(Some(Silence::Waiting)) },
        not_http: handshake.not_http.clone(),
        product: identity.product().cloned(),
        candidates: identity.candidates(),
        processes,
    }
}

fn failed_hop(failed: &Failed, owners: &Owners) -> Hop {
    Hop {
        role: Role::Retry,
        client: Endpoint::Ip(failed.link.client),
        server: Endpoint::Ip(failed.link.server),
        interface: failed.interface,
        clock: failed.clock,
        proxy_header: None,
        request: None,
        interim: None,
        response: None,
        silence: Some(failed.silence),
        not_http: None,
        product: None,
        candidates: Candidates::default(),
        processes: owners.of(&failed.link),
    }
}

/// Derived from what every host that sees the hop sees alike: its ends, the request's sequence number, its key.
pub(super) fn id(link: &Link, sequence: u32, key: &str) -> AttemptId {
    let end = |address: SocketAddr| address.to_string();
    let digest = Sha1::new()
        .chain_update(end(link.client))
        .chain_update([0])
        .chain_update(end(link.server))
        .chain_update([0])
        .chain_update(sequence.to_be_bytes())
        .chain_update(key)
        .finalize();
    AttemptId(digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
}
