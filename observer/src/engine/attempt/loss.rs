//! When frames were lost. What happened in such a time may have happened unseen: nothing is concluded from its absence.

use std::{collections::VecDeque, time::Duration};

use super::super::{event::Silence, handshake::Handshake, time::Timestamp};

/// Spans to remember at most.
const SPANS: usize = 256;

/// The times of losses, oldest first, as they were told.
#[derive(Debug, Default)]
pub(super) struct Losses {
    spans: VecDeque<(Timestamp, Timestamp)>,
}

impl Losses {
    /// Frames were lost between two times.
    pub(super) fn add(&mut self, since: Timestamp, at: Timestamp) {
        let (since, at) = (since.min(at), since.max(at));
        match self.spans.back_mut() {
            Some((_, end)) if *end >= since => *end = (*end).max(at),
            _ => self.spans.push_back((since, at)),
        }
        if self.spans.len() > SPANS
            && let (Some(first), Some(second)) = (self.spans.pop_front(), self.spans.front_mut())
        {
            // The time between them counts as lost too: that errs towards "unknown".
            second.0 = first.0;
        }
    }

    /// Whether frames were lost at some time from `from` to `to`.
    pub(super) fn touch(&self, from: Timestamp, to: Timestamp) -> bool {
        self.spans.iter().rev().any(|(since, at)| *since <= to && from <= *at)
    }
}

/// An answer that was not seen while frames were lost may have been given.
pub(super) fn doubt_silence(handshake: &mut Handshake) {
    let heard = matches!(handshake.silence, Some(Silence::Refused | Silence::ClosedByServer));
    if handshake.response.is_none() && !heard {
        handshake.silence = Some(Silence::NotCaptured);
    }
}

/// A hop is still without its answer though the one behind it shows that the answer was given: the client's side speaks
/// through the tunnel, or the proxy hung up on every server long before `now`. Then frames of the hop are missing.
pub(super) fn doubt_contradicted(hops: &mut [(Handshake, Option<usize>)], settle: Duration, now: Timestamp) {
    for at in 0..hops.len() {
        if hops[at].0.response.is_some() || !matches!(hops[at].0.silence, None | Some(Silence::Waiting)) {
            continue;
        }
        let mut behind = hops.iter().filter(|(_, parent)| *parent == Some(at)).map(|(hop, _)| hop).peekable();
        let left = |hop: &Handshake| {
            let long_ago = hop.ended_at.is_some_and(|ended| ended + settle <= now);
            hop.silence == Some(Silence::ClosedByClient) && long_ago
        };
        if behind.peek().is_some() && (behind.clone().all(left) || behind.any(|hop| hop.spoken)) {
            hops[at].0.silence = Some(Silence::NotCaptured);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_nanos(second * 1_000_000_000)
    }

    #[test]
    fn only_what_overlaps_is_touched() {
        let mut losses = Losses::default();
        losses.add(at(10), at(11));
        losses.add(at(20), at(21));
        for (from, to, expected) in [(0, 9, false), (0, 10, true), (11, 12, true), (12, 19, false), (5, 30, true)] {
            assert_eq!(losses.touch(at(from), at(to)), expected, "{from} to {to}");
        }
    }

    #[test]
    fn the_oldest_are_merged_not_forgotten() {
        let mut losses = Losses::default();
        (0..1000).for_each(|second| losses.add(at(second * 10), at(second * 10 + 1)));
        assert!(losses.spans.len() <= SPANS);
        assert!(losses.touch(at(0), at(1)) && losses.touch(at(5), at(6)));
        assert!(!losses.touch(at(9982), at(9989)));
    }
}
