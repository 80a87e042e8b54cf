//! Which handshakes are hops of one attempt: by key, then by request id, then by what they ask for.
//!
//! Keys repeat (load tools, copied `curl` lines), so a shared name alone ties nothing when several clients use it at one
//! moment: then the hop whose request, status and forwarded-for fit best is taken, and the join says that it is not sure.

use std::{cmp::Reverse, time::Duration};

use super::{
    super::{
        event::{Confidence, Join, JoinMethod},
        handshake::{Handshake, field::UpgradeRequest},
        time::Timestamp,
    },
    store::{HandshakeId, Name, Store, may_follow, names},
};

/// Handshakes of one name that a search looks at.
pub(super) const SEARCHED: usize = 128;
/// Hops that a chain of proxies may have where several clients share a name.
const MAX_CHAIN: usize = 8;
/// How far before a handshake others with its name are looked for.
const LOOK_BACK: Duration = Duration::from_secs(120);

/// A node of an attempt's tree: a handshake and, by index, the one whose proxy sent it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Node {
    pub(super) id: HandshakeId,
    pub(super) parent: Option<usize>,
}

/// Handshakes of one attempt, the client's first.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    pub(super) join: Option<Join>,
    /// Whether every other reading of an ambiguous join says the same of the proxy.
    pub(super) uniform: bool,
}

/// Whether some open handshake may be the one before `id` on the way.
pub(super) fn has_parent(store: &Store, id: HandshakeId, skew: Duration) -> bool {
    let Some(handshake) = store.get(id) else { return false };
    let (from, to) = (handshake.request.at.before(LOOK_BACK), handshake.request.at + skew);
    for (method, name) in names(handshake) {
        let mut parents = store.named(name, from, to, SEARCHED).filter(|(other, _)| *other != id);
        if parents.any(|(_, down)| may_be_next(method, down, handshake, skew)) {
            return true;
        }
        // A key names its attempt: weaker ties are for hops that have none, or a new one.
        let named = method == JoinMethod::WebSocketKey
            && store.named(name, from, to + LOOK_BACK, SEARCHED).any(|(other, _)| other != id);
        if named {
            return false;
        }
    }
    by_process(store, id, skew, Side::Up).is_some()
}

/// Whether `up` may be the next hop after `down`, with which it shares a name.
pub(super) fn may_be_next(method: JoinMethod, down: &Handshake, up: &Handshake, skew: Duration) -> bool {
    may_follow(down, up, skew) && agree(method, down, up)
}

/// The tree of handshakes under `root`.
pub(super) fn tree(store: &Store, root: HandshakeId, skew: Duration) -> Tree {
    let alone = Tree { nodes: vec![Node { id: root, parent: None }], join: None, uniform: true };
    let Some(client) = store.get(root) else { return alone };
    for (method, name) in names(client) {
        let found = under(store, root, method, name, skew);
        if found.nodes.len() > 1 {
            return found;
        }
    }
    let Some(up) = by_process(store, root, skew, Side::Down) else { return alone };
    let nodes = vec![Node { id: root, parent: None }, Node { id: up, parent: Some(0) }];
    let join = Some(Join { method: JoinMethod::Process, confidence: Confidence::Probable });
    Tree { nodes, join, uniform: true }
}

/// On which side of a proxy a handshake is.
#[derive(Clone, Copy)]
enum Side {
    Down,
    Up,
}

/// The handshake on the other side of the process that holds `id`, where nothing else that it did meanwhile fits either
/// of the two.
fn by_process(store: &Store, id: HandshakeId, skew: Duration, side: Side) -> Option<HandshakeId> {
    let other = only_partner(store, id, skew, side)?;
    let back = match side {
        Side::Down => Side::Up,
        Side::Up => Side::Down,
    };
    (only_partner(store, other, skew, back)? == id).then_some(other)
}

fn only_partner(store: &Store, id: HandshakeId, skew: Duration, side: Side) -> Option<HandshakeId> {
    let own = store.get(id)?;
    let pid = own.pids[usize::from(matches!(side, Side::Down))]?;
    if store.has_unpaired(pid, own) {
        return None;
    }
    let mut partners = store.around(id, SEARCHED).filter(|(_, other)| match side {
        Side::Down => may_share_process(own, other, skew),
        Side::Up => may_share_process(other, own, skew),
    });
    let (first, _) = partners.next()?;
    partners.next().is_none().then_some(first)
}

/// Whether one process got `down` and sent `up` meanwhile, and nothing in them speaks against it.
fn may_share_process(down: &Handshake, up: &Handshake, skew: Duration) -> bool {
    let (one, two) = (&down.traits, &up.traits);
    down.shares_process(up) == Some(true)
        && may_follow(down, up, skew)
        && may_have_passed_on(down, up)
        && !differ(one.agent, two.agent)
        && !differ(one.origin, two.origin)
        && forwarded_for(down, up) != Some(false)
}

/// The tree of handshakes that share one name with `root`.
fn under(store: &Store, root: HandshakeId, method: JoinMethod, name: Name, skew: Duration) -> Tree {
    let mut tree = Tree { nodes: vec![Node { id: root, parent: None }], join: None, uniform: true };
    let Some(client) = store.get(root) else { return tree };
    let (from, to) = (client.request.at.before(skew), client.ended_at.unwrap_or(Timestamp::MAX) + skew);
    let before = client.request.at.before(LOOK_BACK);
    let all: Vec<_> = store.named(name, before, to, 2 * SEARCHED).filter(|(id, _)| *id != root).collect();
    if !all.iter().any(|(_, up)| may_be_next(method, client, up, skew)) {
        return tree;
    }
    let crowded = all.iter().any(|(_, other)| is_rival(client, other));
    let mut confidence = if method == JoinMethod::Fingerprint { Confidence::Probable } else { Confidence::Certain };
    if crowded {
        confidence = descend(&mut tree, client, &all, method, skew).max(confidence);
    } else {
        for (id, up) in all.iter().filter(|(_, up)| up.request.at >= from) {
            if let Some(parent) = parent_among(store, &tree.nodes, up, method, skew) {
                tree.nodes.push(Node { id: *id, parent: Some(parent) });
            }
        }
    }
    if let Some(uniform) = store.guessed(name, client) {
        confidence = Confidence::Ambiguous;
        tree.uniform &= uniform;
    }
    tree.join = (tree.nodes.len() > 1).then_some(Join { method, confidence });
    tree
}

/// Goes from hop to hop where several clients share the name: takes what fits no other client better and, of those that
/// fit several alike, the earliest.
fn descend(
    tree: &mut Tree,
    client: &Handshake,
    all: &[(HandshakeId, &Handshake)],
    method: JoinMethod,
    skew: Duration,
) -> Confidence {
    let (mut down, mut parent, mut confidence) = (client, 0, Confidence::Certain);
    let mut passed = vec![client.link.server];
    for _ in 0..MAX_CHAIN {
        let rivals: Vec<_> = all.iter().map(|(_, rival)| *rival).filter(|rival| is_rival(down, rival)).collect();
        let best = |up: &Handshake| {
            rivals.iter().filter(|rival| may_follow(rival, up, skew)).map(|rival| affinity(rival, up)).max()
        };
        let fitting: Vec<_> = all
            .iter()
            .filter(|(_, up)| !passed.contains(&up.link.server))
            .filter(|(_, up)| may_be_next(method, down, up, skew) && may_have_passed_on(down, up))
            .map(|(id, up)| (*id, *up, affinity(down, up), best(up).unwrap_or(i32::MIN)))
            .filter(|(_, _, own, best)| own >= best)
            .collect();
        // The earliest of those alike: a later one may be the only one left for a client that came later.
        let chosen = fitting.iter().max_by_key(|(id, up, own, _)| (*own, Reverse(up.request.at), Reverse(*id)));
        let Some(&(id, up, own, rival)) = chosen else { break };
        if own == rival {
            confidence = Confidence::Ambiguous;
            let alike = fitting.iter().filter(|(_, _, other, _)| *other == own);
            tree.uniform &= alike.into_iter().all(|(_, other, ..)| says_the_same(other, up));
        }
        // Earlier tries that can be nobody else's.
        let tries = fitting.iter().filter(|(other, _, own, best)| *other != id && own > best);
        let tries = tries.filter(|(_, other, ..)| other.ended_at.is_some_and(|end| end <= up.request.at));
        tree.nodes.extend(tries.map(|(id, ..)| Node { id: *id, parent: Some(parent) }));
        tree.nodes.push(Node { id, parent: Some(parent) });
        parent = tree.nodes.len() - 1;
        down = up;
        passed.push(up.link.server);
    }
    confidence
}

/// Whether `down` may have been answered with the answer of `up`, and `up` be what was made of it.
fn may_have_passed_on(down: &Handshake, up: &Handshake) -> bool {
    let late = down.status().is_some() && up.status().is_some() && up.ended_at > down.ended_at;
    !late && (down.traits.upgrade || !up.traits.upgrade)
}

/// Whether two requests would be judged alike.
fn says_the_same(one: &Handshake, other: &Handshake) -> bool {
    let traits = |handshake: &Handshake| {
        let request = &handshake.request;
        (request.has_upgrade(), request.has_connection_upgrade(), request.version, handshake.status(), request.complete)
    };
    traits(one) == traits(other)
}

/// Whether another handshake is a different client's, at the same place and time.
fn is_rival(client: &Handshake, rival: &Handshake) -> bool {
    let overlaps = client.ended_at.is_none_or(|end| rival.request.at <= end)
        && rival.ended_at.is_none_or(|end| client.request.at <= end);
    rival.link.server == client.link.server && overlaps
}

/// The node whose proxy most likely sent `up`: on the host it came from, answered alike and later, and the chosen.
fn parent_among(store: &Store, nodes: &[Node], up: &Handshake, method: JoinMethod, skew: Duration) -> Option<usize> {
    let nodes = nodes.iter().enumerate().filter_map(|(at, node)| Some((at, store.get(node.id)?)));
    nodes
        .filter(|(_, down)| may_be_next(method, down, up, skew))
        .max_by_key(|(at, down)| {
            let host = down.link.server.ip() == up.link.client.ip();
            let relayed = match (down.status(), up.status()) {
                (Some(down_status), Some(up_status)) => down_status == up_status && down.ended_at >= up.ended_at,
                (Some(status), None) => status >= 500,
                (None, Some(_)) => false,
                (None, None) => true,
            };
            // What a proxy has taken away does not come back further on.
            let plausible = down.traits.upgrade || !up.traits.upgrade;
            // Next to the one that passed its answer on, or else to the client.
            let near = if relayed { isize::try_from(*at) } else { isize::try_from(*at).map(|at| -at) };
            (host, relayed, plausible, near.unwrap_or(0))
        })
        .map(|(at, _)| at)
}

/// Whether two handshakes that share a name do not contradict each other.
fn agree(method: JoinMethod, down: &Handshake, up: &Handshake) -> bool {
    if method != JoinMethod::Fingerprint {
        return true;
    }
    let (one, two) = (&down.traits, &up.traits);
    // Two requests with different keys are two attempts unless a proxy speaks for itself, which it shows.
    let keys = one.key == two.key || two.forwarded || !up.request.complete;
    down.link.server.ip() == up.link.client.ip()
        && one.websocket == two.websocket
        && keys
        && !differ(one.agent, two.agent)
        && !differ(one.origin, two.origin)
        && forwarded_for(down, up) != Some(false)
        && down.shares_process(up) != Some(false)
}

/// Whether two values are there and not the same.
fn differ(one: Option<u64>, two: Option<u64>) -> bool {
    one.zip(two).is_some_and(|(one, two)| one != two)
}

/// Whether the forwarded-for of `up` names the client of `down`; `None` where it names nobody.
fn forwarded_for(down: &Handshake, up: &Handshake) -> Option<bool> {
    up.traits.names_client(down.forwarded_for.unwrap_or(down.link.client).ip())
}

/// How well `up` fits as what a proxy made of `down`.
fn affinity(down: &Handshake, up: &Handshake) -> i32 {
    let (one, two) = (&down.traits, &up.traits);
    let same = |one: Option<u64>, two: Option<u64>| one.zip(two).map(|(one, two)| one == two);
    let weigh = |fits: Option<bool>, yes: i32, no: i32| match fits {
        Some(true) => yes,
        Some(false) => -no,
        None => 0,
    };
    weigh(Some(down.link.server.ip() == up.link.client.ip()), 8, 8)
        + weigh(Some(one.tail == two.tail), 4, 4)
        + weigh(Some(one.target == two.target), 2, 0)
        + weigh(down.status().zip(up.status()).map(|(one, two)| one == two), 6, 6)
        + weigh(down.ended_at.zip(up.ended_at).map(|(down, up)| up <= down), 4, 4)
        + weigh(same(one.agent, two.agent), 2, 6)
        + weigh(same(one.origin, two.origin), 2, 6)
        + weigh(same(one.host, two.host), 1, 0)
        + weigh(forwarded_for(down, up), 2, 8)
        + weigh(down.shares_process(up), 2, 16)
}
