//! Picks the frames that prove an attempt out of many: the first frame of each head, and how its connections began and
//! ended. A frame is known by its number together with its connection.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use super::Kept;
use crate::{
    engine::{
        alert::{Alert, RuleId},
        event::{Attempt, Hop},
        frame::Frame,
        packet::{Packets, Parsed, Segment},
        time::Timestamp,
    },
    sink::text::shared::span,
    tui::state::Row,
};

/// How long before its request a connection may have begun, and how much later than what is known it may have ended.
const BEFORE: Duration = Duration::from_secs(120);
const AFTER: Duration = Duration::from_secs(2);
/// Enough for every hop's beginning, heads and end.
const MOST: usize = 256;

/// Looks at frames one by one.
pub(super) struct Picker {
    hops: Vec<Watched>,
    from: Timestamp,
    until: Timestamp,
    packets: Packets,
    picked: Vec<(Kept, String)>,
    /// The last frame with payload of each hop, until the hop ends.
    last: HashMap<usize, (Kept, String)>,
    /// What the first end of a connection proves.
    end: String,
}

/// One hop, and its frames by number.
struct Watched {
    name: String,
    client: SocketAddr,
    server: SocketAddr,
    heads: Vec<(u64, String)>,
    ended: bool,
}

impl Picker {
    pub(super) fn new(row: &Row) -> Self {
        let attempt = &*row.attempt;
        let heads = attempt.hops.iter().filter_map(|hop| hop.request.as_ref()).map(|request| request.at);
        let first = heads.min().unwrap_or(attempt.decided_at);
        let ended = row.tunnel.as_ref().map_or(attempt.decided_at, |tunnel| tunnel.ended_at);
        Self {
            hops: watched(attempt, &row.alerts),
            from: first.before(BEFORE),
            until: ended + AFTER,
            packets: Packets::new(1 << 20),
            picked: Vec::new(),
            last: HashMap::new(),
            end: said(&row.alerts, Proof::End),
        }
    }

    /// Takes the frame where it proves something.
    pub(super) fn see(&mut self, frame: &Frame<'_>) {
        if frame.at < self.from || frame.at > self.until || self.picked.len() >= MOST {
            return;
        }
        let Parsed::Segment(segment) = self.packets.parse(frame) else { return };
        let ends = |hop: &Watched| hop.is_from_client(&segment).is_some();
        let Some(index) = self.hops.iter().position(ends) else { return };
        let hop = &mut self.hops[index];
        let side = if hop.is_from_client(&segment) == Some(true) { "client" } else { "server" };
        let head = hop.heads.iter().find(|(number, _)| *number == frame.number);
        let what = match head {
            Some((_, what)) => what.clone(),
            None if segment.flags.syn() => format!("SYN from the {side}"),
            None if segment.flags.rst() => format!("RST from the {side}"),
            None if segment.flags.fin() => format!("FIN from the {side}"),
            None if !segment.payload.is_empty() && !hop.ended => {
                let what = format!("last payload, from the {side}");
                self.last.insert(index, (Kept::of(frame), format!("{}: {what}", hop.name)));
                return;
            }
            None => return,
        };
        hop.ended |= segment.flags.fin() || segment.flags.rst();
        let mut comment = format!("{}: {what}", hop.name);
        if let Some((kept, told)) = self.last.remove(&index).filter(|_| hop.ended) {
            comment.push_str(&format!(", {} after the last payload", span(frame.at.since(kept.at))));
            self.picked.push((kept, told));
        }
        if self.hops[index].ended {
            comment.push_str(&std::mem::take(&mut self.end));
        }
        self.picked.push((Kept::of(frame), comment));
    }

    /// What was picked, in order of time.
    pub(super) fn finish(mut self) -> Vec<(Kept, String)> {
        self.picked.extend(self.last.into_values());
        self.picked.sort_by_key(|(kept, _)| (kept.at, kept.interface, kept.number));
        self.picked
    }
}

impl Watched {
    /// Whether a segment of this hop comes from its client; `None` when it is of another connection.
    fn is_from_client(&self, segment: &Segment<'_>) -> Option<bool> {
        match (segment.source, segment.destination) {
            ends if ends == (self.client, self.server) => Some(true),
            ends if ends == (self.server, self.client) => Some(false),
            _ => None,
        }
    }
}

fn watched(attempt: &Attempt, alerts: &[Alert]) -> Vec<Watched> {
    let all = attempt.hops.len();
    let last = attempt.path().count();
    let hop = |(index, hop): (usize, &Hop)| {
        let (client, server) = (hop.client.address()?, hop.server.address()?);
        let number = index + 1;
        let mut heads = Vec::new();
        if let Some(request) = &hop.request {
            let told = if number == last.max(1) { said(alerts, Proof::Request) } else { String::new() };
            heads.push((request.frame, format!("request, HTTP/{}{told}", request.version)));
        }
        if let Some(response) = &hop.response {
            let told = if number == 1 { said(alerts, Proof::Response) } else { String::new() };
            heads.push((response.frame, format!("response {}{told}", response.status)));
        }
        Some(Watched { name: format!("hop {number} of {all}"), client, server, heads, ended: false })
    };
    attempt.hops.iter().enumerate().filter_map(hop).collect()
}

/// What of an attempt proves an alert.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// The last request.
    Request,
    /// The first response.
    Response,
    /// The first end.
    End,
}

impl Proof {
    const fn of(rule: RuleId) -> Self {
        match rule {
            RuleId::UpgradeHeadersDropped | RuleId::Http10Upstream | RuleId::UpgradeInjected => Self::Request,
            RuleId::Broken101
            | RuleId::AcceptMismatch
            | RuleId::NegotiationAltered
            | RuleId::Missing101
            | RuleId::PollingFallback => Self::Response,
            RuleId::IdleClose
            | RuleId::LifetimeClose
            | RuleId::MassClose
            | RuleId::ErrorClose
            | RuleId::AbruptClose => Self::End,
        }
    }
}

/// The alerts that are proven so.
fn said(alerts: &[Alert], proof: Proof) -> String {
    let proven = alerts.iter().filter(|alert| Proof::of(alert.rule) == proof);
    proven.map(|alert| format!("\n{}: {}", alert.rule, alert.message)).collect()
}
