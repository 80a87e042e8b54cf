//! Hops whose answer may have been given unseen: nothing is concluded from its absence.

use std::time::Duration;

use super::super::{event::Silence, handshake::Handshake, time::Timestamp};

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
