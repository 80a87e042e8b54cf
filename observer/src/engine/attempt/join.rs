//! Which handshakes are hops of one attempt: by key, then by request id, then by what they ask for.
//!
//! Keys repeat (load tools, copied `curl` lines), so a shared name alone ties nothing when several clients use it at one
//! moment: then the hop whose request, status and forwarded-for fit best is taken, and the join says that it is not sure.

mod fit;
mod process;

use std::{cmp::Reverse, time::Duration};

pub(super) use self::fit::{is_hairpin, may_be_next, was_asked_during};
use self::{
    fit::{
        affinity, differ, is_during, is_rival, is_sibling, made, may_be_aside, may_have_passed_on, said, shows_relay,
    },
    process::{Side, by_process},
};
use super::{
    super::{
        event::{Confidence, Join, JoinMethod},
        handshake::Handshake,
        http::UpgradeId,
        knowledge::{Claim, Doubt},
        time::Timestamp,
    },
    store::{Name, Store, key_name, may_follow, names},
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
    pub(super) id: UpgradeId,
    pub(super) parent: Option<usize>,
}

/// Handshakes of one attempt, the client's first.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    pub(super) join: Option<Join>,
    /// The hops are the attempt's own, or all that they may be instead says the same of the proxy.
    pub(super) own: Claim,
}

/// Whether some open handshake may be the one before `id` on the way.
pub(super) fn has_parent(store: &Store, id: UpgradeId, skew: Duration) -> bool {
    let Some(handshake) = store.get(id) else { return false };
    let (from, to) = (handshake.request.at.before(LOOK_BACK), handshake.request.at + skew);
    for (method, name) in names(handshake) {
        let others: Vec<_> = store.named(name, from, to, SEARCHED).filter(|(other, _)| *other != id).collect();
        let mut parents = others.iter().filter(|(_, down)| may_be_next(method, down, handshake, skew));
        if parents.any(|(_, down)| !leads_to(&others, handshake, down, MAX_CHAIN)) {
            return true;
        }
        // A key names its attempt: weaker ties are for hops that have none, or a new one that only those behind share.
        let named = method == JoinMethod::WebSocketKey
            && store
                .named(name, from, to + LOOK_BACK, SEARCHED)
                .any(|(other, hop)| other != id && !may_follow(handshake, hop, skew) && !is_sibling(handshake, hop));
        if named {
            return false;
        }
    }
    by_process(store, id, skew, Side::Up).is_some()
}

/// Whether hosts lead from `one` by way of others to `other`, which clocks of two taps may put before it.
fn leads_to(all: &[(UpgradeId, &Handshake)], one: &Handshake, other: &Handshake, steps: usize) -> bool {
    if steps == 0 || one.clock == other.clock {
        return false;
    }
    let behind =
        |down: &Handshake, up: &Handshake| down.link.leads_to(&up.link) && !down.link.comes_from_server_of(&up.link);
    let mut next = all.iter().filter(|(_, up)| behind(one, up)).map(|(_, up)| *up);
    next.any(|up| up.link.id == other.link.id || leads_to(all, up, other, steps - 1))
}

/// Whether `up` may be what was made of `root`, with which it shares the key, and says otherwise than what is taken for it.
/// Where that came from the host that the root led to, what came from elsewhere is another's.
pub(super) fn might_be_next(root: &Handshake, up: &Handshake, own: Option<&Handshake>, skew: Duration) -> bool {
    may_be_next(JoinMethod::WebSocketKey, root, up, skew)
        && was_asked_during(root, up)
        && own.is_none_or(|own| {
            let apart = root.link.leads_to(&own.link) && !root.link.leads_to(&up.link);
            !apart && (differ(own.status().map(u64::from), up.status().map(u64::from)) || made(own) != made(up))
        })
}

impl Tree {
    /// One whose handshakes are not in the store.
    pub(super) const fn joined(join: Join, own: Claim) -> Self {
        Self { nodes: Vec::new(), join: Some(join), own }
    }
}

/// The tree of handshakes under `root`.
pub(super) fn tree(store: &Store, root: UpgradeId, skew: Duration) -> Tree {
    let mut tree = Tree { nodes: vec![Node { id: root, parent: None }], join: None, own: Claim::Certain };
    let mut at = 0;
    // A proxy of a chain may have made a new key: what lies behind each leaf is looked for by its own names.
    while at < tree.nodes.len() && at < MAX_CHAIN {
        if !tree.nodes.iter().any(|node| node.parent == Some(at)) {
            grow(store, &mut tree, at, skew);
        }
        at += 1;
    }
    if tree.nodes.len() == 1
        && let Some(up) = by_process(store, root, skew, Side::Down)
    {
        tree.nodes.push(Node { id: up, parent: Some(0) });
        tree.join = Some(Join { method: JoinMethod::Process, confidence: Confidence::Probable });
    }
    let contested = tree.nodes.iter().any(|node| {
        let step = node.parent.and_then(|at| store.get(tree.nodes[at].id)).zip(store.get(node.id));
        step.is_some_and(|(down, up)| up.contested && !shows_relay(down, up))
    });
    if let Some(join) = tree.join.as_mut().filter(|_| contested) {
        join.confidence = Confidence::Ambiguous;
        tree.own.require(Claim::Unknown(Doubt::Rival));
    }
    tree
}

/// Adds what lies behind a leaf.
fn grow(store: &Store, tree: &mut Tree, at: usize, skew: Duration) {
    let leaf = tree.nodes[at].id;
    let Some(handshake) = store.get(leaf) else { return };
    for (method, name) in names(handshake) {
        let found = under(store, leaf, &tree.nodes, method, name, skew);
        let Some(join) = found.join else { continue };
        let offset = tree.nodes.len() - 1;
        let place = |parent: usize| if parent == 0 { at } else { parent + offset };
        let nodes = found.nodes.iter().skip(1);
        tree.nodes.extend(nodes.map(|node| Node { id: node.id, parent: node.parent.map(place) }));
        tree.own.require(found.own);
        tree.join = Some(tree.join.map_or(join, |before| Join {
            method: before.method.max(join.method),
            confidence: before.confidence.max(join.confidence),
        }));
        return;
    }
}

/// The tree of handshakes that share one name with `root`, without those that are `taken`.
fn under(store: &Store, root: UpgradeId, taken: &[Node], method: JoinMethod, name: Name, skew: Duration) -> Tree {
    let mut tree = Tree { nodes: vec![Node { id: root, parent: None }], join: None, own: Claim::Certain };
    let Some(client) = store.get(root) else { return tree };
    let (from, to) = (client.request.at.before(skew), client.ended_at.unwrap_or(Timestamp::MAX) + skew);
    let before = client.request.at.before(LOOK_BACK);
    let passed: Vec<_> =
        taken.iter().filter_map(|node| store.get(node.id)).map(|hop| hop.link.server_socket()).collect();
    let is_free = |id: UpgradeId, up: &Handshake| {
        // Behind the first hop nothing leads back to a server that was passed, nor to what another key names.
        let onward =
            taken.len() == 1 || !passed.contains(&up.link.server_socket()) && !has_key_parent(store, up, taken, skew);
        id != root && onward && taken.iter().all(|node| node.id != id)
    };
    let all: Vec<_> = store.named(name, before, to + skew, 2 * SEARCHED).filter(|(id, up)| is_free(*id, up)).collect();
    if !all.iter().any(|(_, up)| may_be_next(method, client, up, skew)) {
        return tree;
    }
    let crowded = all.iter().any(|(_, other)| is_rival(client, other, skew));
    let mut confidence = if method == JoinMethod::Fingerprint { Confidence::Probable } else { Confidence::Certain };
    if crowded {
        confidence = descend(&mut tree, client, &all, method, skew).max(confidence);
    } else {
        let mut rest: Vec<_> = all.into_iter().filter(|(_, up)| up.request.at >= from).collect();
        // First from host to host: clocks of two taps may tell the order of hops falsely.
        for by_host in [true, false] {
            if !by_host {
                // Several clients' requests elsewhere are no hops of this one.
                let others = rest.clone();
                rest.retain(|(id, up)| others.iter().all(|(other, hop)| other == id || !is_rival(up, hop, skew)));
            }
            while let Some((at, parent)) = next_child(store, &tree.nodes, &rest, method, skew, by_host) {
                let (id, _) = rest.remove(at);
                tree.nodes.push(Node { id, parent: Some(parent) });
            }
        }
    }
    if let Some(own) = store.guessed(name, client) {
        confidence = Confidence::Ambiguous;
        tree.own.require(own);
    }
    tree.join = (tree.nodes.len() > 1).then_some(Join { method, confidence });
    tree
}

/// The first of `rest` that has a parent among nodes, and that; `by_host` only where the parent's host sent it.
fn next_child(
    store: &Store,
    nodes: &[Node],
    rest: &[(UpgradeId, &Handshake)],
    method: JoinMethod,
    skew: Duration,
    by_host: bool,
) -> Option<(usize, usize)> {
    rest.iter().enumerate().find_map(|(at, (_, up))| {
        let parent = parent_among(store, nodes, up, method, skew)?;
        let down = store.get(nodes[parent].id)?;
        (!by_host || down.link.leads_to(&up.link)).then_some((at, parent))
    })
}

/// Whether a handshake's key names one that is not `taken` as that before it on the way.
fn has_key_parent(store: &Store, up: &Handshake, taken: &[Node], skew: Duration) -> bool {
    let Some(name) = key_name(up) else { return false };
    let (from, to) = (up.request.at.before(LOOK_BACK), up.request.at + skew);
    let mut named = store.named(name, from, to, SEARCHED);
    named.any(|(id, down)| taken.iter().all(|node| node.id != id) && may_follow(down, up, skew))
}

/// Goes from hop to hop where several clients share the name: takes what fits no other client better and, of those that
/// fit several alike, the earliest.
fn descend(
    tree: &mut Tree,
    client: &Handshake,
    all: &[(UpgradeId, &Handshake)],
    method: JoinMethod,
    skew: Duration,
) -> Confidence {
    let (mut down, mut parent, mut confidence) = (client, 0, Confidence::Certain);
    let mut passed = vec![client.link.server_socket()];
    for _ in 0..MAX_CHAIN {
        let rivals: Vec<_> = all.iter().map(|(_, rival)| *rival).filter(|rival| is_rival(down, rival, skew)).collect();
        let best = |up: &Handshake| {
            rivals
                .iter()
                .filter(|rival| may_follow(rival, up, skew) && was_asked_during(rival, up))
                .map(|rival| affinity(rival, up))
                .max()
        };
        let fitting: Vec<_> = all
            .iter()
            .filter(|(_, up)| !passed.contains(&up.link.server_socket()))
            .filter(|(_, up)| may_be_next(method, down, up, skew) && may_have_passed_on(down, up))
            .map(|(id, up)| (*id, *up, affinity(down, up), best(up).unwrap_or(i32::MIN)))
            .filter(|(_, _, own, best)| own >= best)
            .collect();
        // Where addresses do not tell the order of a chain, what was asked and answered within another is behind that.
        let is_behind = |up: &Handshake| {
            fitting.iter().any(|(_, before, ..)| {
                may_be_next(method, before, up, skew)
                    && may_have_passed_on(before, up)
                    && is_during(before, up) == Some(true)
            })
        };
        // The earliest of those alike: a later one may be the only one left for a client that came later.
        let chosen = fitting.iter().filter(|(_, up, ..)| !is_behind(up));
        let chosen = chosen.max_by_key(|(id, up, own, _)| (*own, Reverse(up.request.at), Reverse(*id)));
        let Some(&(id, up, own, rival)) = chosen else { break };
        // That its answer is another than a rival's tells nothing of what may be that one's try, or made on the side.
        if rivals.iter().any(|rival| may_be_aside(rival, up, all, method, skew)) {
            confidence = Confidence::Ambiguous;
            tree.own.require(Claim::Unknown(Doubt::Rival));
        }
        if own == rival {
            confidence = Confidence::Ambiguous;
            let alike: Vec<_> = fitting.iter().filter(|(_, _, other, _)| *other == own).collect();
            // Where more clients can have got nothing but these, this one may have got none of them.
            let fits = |rival: &Handshake, up: &Handshake| {
                may_be_next(method, rival, up, skew) && may_have_passed_on(rival, up) && affinity(rival, up) >= own
            };
            let has_others = |rival: &Handshake| {
                let others = all.iter().filter(|(id, _)| !alike.iter().any(|(known, ..)| known == id));
                others.into_iter().any(|(_, other)| fits(rival, other))
            };
            let needy = rivals.iter().filter(|rival| fits(rival, up) && !has_others(rival)).count();
            let enough = needy < alike.len();
            let agree = enough && alike.into_iter().all(|(_, other, ..)| said(other) == said(up));
            tree.own.require(Claim::unless((!agree).then_some(Doubt::Rival)));
        }
        // Earlier tries that can be nobody else's.
        let tries = fitting.iter().filter(|(other, _, own, best)| *other != id && own > best);
        let tries = tries.filter(|(_, other, ..)| other.ended_at.is_some_and(|end| end <= up.request.at));
        tree.nodes.extend(tries.map(|(id, ..)| Node { id: *id, parent: Some(parent) }));
        tree.nodes.push(Node { id, parent: Some(parent) });
        parent = tree.nodes.len() - 1;
        down = up;
        passed.push(up.link.server_socket());
    }
    confidence
}

/// The node whose proxy most likely sent `up`: on the host it came from, answered alike and later, and the chosen.
fn parent_among(store: &Store, nodes: &[Node], up: &Handshake, method: JoinMethod, skew: Duration) -> Option<usize> {
    let nodes = nodes.iter().enumerate().filter_map(|(at, node)| Some((at, store.get(node.id)?)));
    nodes
        .filter(|(_, down)| may_be_next(method, down, up, skew))
        .max_by_key(|(at, down)| {
            let host = down.link.leads_to(&up.link);
            let relayed = match (down.status(), up.status()) {
                (Some(down_status), Some(up_status)) => down_status == up_status && down.ended_at >= up.ended_at,
                (Some(status), None) => status >= 500,
                (None, Some(_)) => false,
                (None, None) => true,
            };
            // What a proxy has taken away does not come back further on.
            let plausible = down.traits.upgrade || !up.traits.upgrade;
            // Next to the one that passed its answer on, or might have, or else to the client.
            let near =
                if relayed || up.is_upgraded() { isize::try_from(*at) } else { isize::try_from(*at).map(|at| -at) };
            (host, relayed, plausible, near.unwrap_or(0))
        })
        .map(|(at, _)| at)
}
