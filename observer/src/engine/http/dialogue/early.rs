//! Answers that come before the head of their request is whole (RFC 9112 9.3 lets a server answer at any time): kept until the
//! request has come, or its rest will not.

use super::{Dialogue, RESPONSE, State, is_response};
use crate::engine::{
    http::Listener,
    tcp::{Link, Stamp},
};

/// Bytes that are kept: a usual head, and more of the body than is shown.
const KEPT: usize = 8 << 10;

/// An answer that waits for its request.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) bytes: Vec<u8>,
    pub(super) stamp: Stamp,
    /// Whether more came than is kept.
    is_cut: bool,
}

impl Early {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let room = if self.is_cut { 0 } else { KEPT - self.bytes.len() };
        self.is_cut |= room < bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What comes next was not captured, or is not needed.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
    }
}

impl<L: Listener> Dialogue<L> {
    /// Whether these bytes begin an answer, though no request awaits one: nothing was read yet, or the beginning
    /// of a head, of which the server had some.
    pub(super) fn is_early(&self, bytes: &[u8], stamp: Stamp) -> bool {
        (is_response(bytes) || RESPONSE.starts_with(bytes))
            && match &self.client {
                State::Start => !self.begun,
                State::Head(head) => {
                    let had = |had: u32| had.wrapping_sub(head.stamp.sequence).cast_signed() > 0;
                    !self.begun || stamp.acknowledgment.is_some_and(had)
                }
                _ => false,
            }
    }

    pub(super) fn begin_early(&mut self, bytes: &[u8], stamp: Stamp) {
        // Whoever answers what was not asked yet has not acknowledged it.
        let stamp = Stamp { acknowledgment: None, ..stamp };
        let mut early = Early { bytes: Vec::new(), stamp, is_cut: false };
        early.take(bytes);
        self.server = State::Early(Box::new(early));
    }

    /// The request has come: reads what was its answer.
    pub(super) fn replay_early(&mut self, to: &mut L, link: &Link) {
        let State::Early(early) = std::mem::take(&mut self.server) else { return };
        let mut at = 0;
        while let Some(rest) = early.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let sequence = early.stamp.sequence.wrapping_add(u32::try_from(at).unwrap_or(0));
            let Some(taken) = self.server_bytes(to, link, rest, Stamp { sequence, ..early.stamp }) else { break };
            at += taken;
        }
        if early.is_cut && !matches!(self.server, State::Tunnel | State::Opaque) {
            self.server = State::Lost;
        }
    }
}
