//! What two clocks saw of one thing, and what that says of how far they are apart.
//!
//! Of two events that both saw, one at each end of some way, the first came before the second at both places. What went
//! one way says that the second clock is ahead by at most so much, what went the other way by at least so much: which is
//! which need not be known, as what lies between both differences is right either way.

use std::collections::BTreeMap;

use super::sight::{Asked, Sights};
use crate::engine::time::Timestamp;

/// How long a segment may be on its way between two places where it is captured: half the way around the earth, and some
/// queues.
const ONE_WAY: i64 = 200_000_000;
/// Segments of one connection within that time are one link: clocks drift by no more than `NOISE` meanwhile.
const MINUTE: i64 = 60_000_000_000;

/// How far the other clock is ahead of the one, by one thing that both saw, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Link {
    pub(super) what: What,
    /// When, by the one clock.
    pub(super) at: i64,
    pub(super) least: i64,
    pub(super) most: i64,
    /// Where both are far apart as only the requests are known: what it is if the request was sent on at once.
    pub(super) prompt: Option<i64>,
}

/// What was seen by both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum What {
    Connection(u64),
    Request(u64),
}

/// All that links two clocks.
pub(super) fn links(one: &Sights, other: &Sights) -> Vec<Link> {
    let mut links = connections(one, other);
    links.extend(requests(one, other));
    links
}

/// Differences of one connection's segments in a minute, those of each way.
#[derive(Default)]
struct Differences {
    ways: [Vec<i64>; 2],
}

fn connections(one: &Sights, other: &Sights) -> Vec<Link> {
    let mut seen: BTreeMap<(u64, i64), Differences> = BTreeMap::new();
    for (one, other) in one.segments.common(&other.segments) {
        let Some((at, later)) = one.at().zip(other.at()) else { continue };
        let minute = at.as_nanos().div_euclid(MINUTE);
        let differences = seen.entry((one.connection, minute)).or_default();
        differences.ways[usize::from(one.low)].push(apart(at, later));
    }
    let link = |((connection, minute), Differences { ways: [high, low] }): ((u64, i64), Differences)| {
        let (least, most) = match (median(high), median(low)) {
            (Some(high), Some(low)) => (high.min(low), high.max(low)),
            (Some(only), None) | (None, Some(only)) => (only.saturating_sub(ONE_WAY), only.saturating_add(ONE_WAY)),
            (None, None) => return None,
        };
        let at = minute.saturating_mul(MINUTE);
        Some(Link { what: What::Connection(connection), at, least, most, prompt: None })
    };
    seen.into_iter().filter_map(link).collect()
}

fn requests(one: &Sights, other: &Sights) -> Vec<Link> {
    let own = one.requests.common(&other.requests).filter(|(one, other)| !one.shared && !other.shared);
    let pairs = own.flat_map(|(one, other)| {
        one.requests.iter().flat_map(|one| other.requests.iter().map(move |other| (one, other)))
    });
    pairs.filter_map(|(one, other)| request(one, other)).collect()
}

/// What two hops of one request say: a proxy sends on what it got before, and answers what was answered before.
fn request(one: &Asked, other: &Asked) -> Option<Link> {
    let asked = apart(one.at, other.at);
    let down = leads_to(one, other);
    let (least, most, prompt) = match (one.answer, other.answer) {
        (Some((at, status)), Some((later, also))) if status == also => {
            let answered = apart(at, later);
            // The request was later at the second hop, and the answer at the first.
            if down.is_some_and(|down| if down { asked < answered } else { answered < asked }) {
                return None;
            }
            (asked.min(answered), asked.max(answered), None)
        }
        // What was not passed on says nothing, but the first hop was asked before the second, and ended after that.
        _ => match down? {
            true => (apart(one.ended?, other.at), asked, Some(asked)),
            false => (asked, apart(one.at, other.ended?), Some(asked)),
        },
    };
    Some(Link { what: What::Request(one.number), at: one.at.as_nanos(), least, most, prompt })
}

/// Whether `one` is the hop before `other`, by their hosts; `None` where those do not tell.
fn leads_to(one: &Asked, other: &Asked) -> Option<bool> {
    match (one.link.leads_to(&other.link), other.link.leads_to(&one.link)) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    }
}

/// How much later `other` is than `one`, each by its own clock.
const fn apart(one: Timestamp, other: Timestamp) -> i64 {
    other.as_nanos().saturating_sub(one.as_nanos())
}

/// The middle one of some values.
pub(super) fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{host::Realm, tcp};

    /// A hop from host to host: when it was asked, and when it ended with which status.
    fn hop(from: u8, to: u8, asked: i64, ended: Option<i64>, status: Option<u16>) -> Asked {
        let end = |host: u8, port: u16| ([10, 0, 0, host], port).into();
        let (client, server) = (end(from, 50_000), end(to, 80));
        let link = tcp::Link::new(tcp::ConnectionId::default(), client, server, Realm::default());
        let at = Timestamp::from_nanos;
        let mut hop = Asked::sample(link, at(asked));
        (hop.answer, hop.ended) = (ended.map(at).zip(status), ended.map(at));
        hop
    }

    /// The least and the most offset, and what it is if the request was sent on at once.
    #[track_caller]
    fn check(one: &Asked, other: &Asked, expected: Option<(i64, i64, Option<i64>)>) {
        let found = |one, other| request(one, other).map(|link| (link.least, link.most, link.prompt));
        assert_eq!(found(one, other), expected);
        let reversed = expected.map(|(least, most, prompt)| (-most, -least, prompt.map(|prompt| -prompt)));
        assert_eq!(found(other, one), reversed, "the other way around");
    }

    #[test]
    fn an_answer_that_was_passed_on_bounds_both_sides() {
        let down = hop(1, 2, 100, Some(190), Some(101));
        check(&down, &hop(2, 3, 5110, Some(5180), Some(101)), Some((4990, 5010, None)));
        // Addresses need not tell which is which.
        check(&down, &hop(8, 9, 5110, Some(5180), Some(101)), Some((4990, 5010, None)));
        check(&down, &hop(8, 9, 120, Some(180), Some(101)), Some((-10, 20, None)));
        // They may tell that it cannot be: what is sent on is no longer under way than the original.
        check(&down, &hop(2, 3, 5110, Some(5280), Some(101)), None);
    }

    #[test]
    fn without_that_a_request_follows_its_original() {
        let down = hop(1, 2, 100, Some(190), Some(504));
        check(&down, &hop(2, 3, 5110, None, None), Some((4920, 5010, Some(5010))));
        check(&down, &hop(2, 3, 5110, Some(5120), Some(404)), Some((4920, 5010, Some(5010))));
        check(&down, &hop(8, 9, 5110, Some(5120), Some(404)), None);
        check(&hop(1, 2, 100, None, None), &hop(2, 3, 5110, Some(5120), Some(101)), None);
    }

    #[test]
    fn the_middle_one_is_no_extreme() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![9, 1, 1000]), Some(9));
    }
}
