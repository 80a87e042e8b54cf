//! Ordinary requests that a tap leaves out by itself, as the kernel program does: the specification of which these are.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use observer::engine::{demand::Skipped, time::Timestamp};

use crate::traffic::wire::{FIN, Owned, RST, SYN, Segment};

/// For how long nothing is left out after a request that might ask for an upgrade without being remembered.
const BLIND: Duration = Duration::from_secs(10);

/// Both ends of a connection, the lower one first; so are its flows.
type Link = (SocketAddr, SocketAddr);

/// One ordinary request after the other.
struct Talk {
    client: usize,
    /// What goes by is left out, and `held` is the last request of it.
    is_quiet: bool,
    /// The server has begun to answer what the client sent last.
    is_answered: bool,
    /// An upgrade was asked for and not answered.
    is_upgrading: bool,
    /// By flow, the end of what was seen.
    ends: [u32; 2],
    held: Option<Owned>,
    /// Where the server's answers ended when it was, and where it begins.
    answered: u32,
    began: u32,
}

/// What to do with a segment.
#[derive(PartialEq, Eq)]
pub enum Fate {
    Ship,
    /// Its payload has been told to be left out.
    ShipHeaders,
    LeaveOut,
}

/// What comes before a segment.
pub enum Before {
    Skipped(Skipped),
    Frame(Owned),
}

/// All of them.
pub struct Talks {
    talks: BTreeMap<Link, Talk>,
    /// Connections that are remembered at most.
    most: usize,
    /// Upgrades that were asked for and not answered.
    pending: usize,
    blind_until: Option<Timestamp>,
    /// Segments of requests that were left out, and how many requests were in them beside the first.
    pub left_out: u64,
    pub pipelined: u64,
    pub before: Vec<Before>,
}

/// What a client's segment is.
#[derive(PartialEq, Eq)]
enum Class {
    Ordinary,
    Other,
    Upgrade,
}

fn class(payload: &[u8]) -> Class {
    let text = String::from_utf8_lossy(payload).to_lowercase();
    let lines: Vec<_> = text.split('\n').collect();
    let (target, fields) = (lines[0], &lines[1..]);
    let begins = |names: &[&str]| fields.iter().any(|line| names.iter().any(|name| line.starts_with(name)));
    let names_protocol = |line: &&str| line.starts_with("upgrade") && !line.starts_with("upgrade-");
    if begins(&["sec-webs"]) || fields.iter().any(names_protocol) {
        return Class::Upgrade;
    }
    let polls = ["/xhr", "/eventsou", "/htmlfile", "/jsonp", "?transpor", "&transpor"];
    let is_special = begins(&["content-", "transfer"]) || polls.iter().any(|part| target.contains(part));
    let has_no_body = ["get ", "head", "opti", "dele"].iter().any(|method| text.starts_with(method));
    match text.ends_with("\r\n\r\n") && has_no_body && !is_special {
        true => Class::Ordinary,
        false if begins(&["\r"]) => Class::Other,
        false => Class::Upgrade,
    }
}

/// Requests in a segment of whole ones, beside the first.
fn pipelined(payload: &[u8]) -> u64 {
    String::from_utf8_lossy(payload).matches("\r\n\r\n").count() as u64 - 1
}

const fn is_before(one: u32, other: u32) -> bool {
    one.wrapping_sub(other).cast_signed() < 0
}

impl Talks {
    pub fn new(most: usize) -> Self {
        Self {
            talks: BTreeMap::new(),
            most,
            pending: 0,
            blind_until: None,
            left_out: 0,
            pipelined: 0,
            before: Vec::new(),
        }
    }

    /// Decides about a segment, and what has to come before it. `is_wanted` tells whether there are demands.
    pub fn fate(&mut self, segment: &Segment, frame: &Owned, is_wanted: bool) -> Fate {
        if segment.has(SYN) && !segment.has(crate::traffic::wire::ACK) {
            self.forget(segment);
        }
        let link = segment.connection();
        let flow = usize::from(segment.source != link.0);
        let is_event = segment.has(SYN | FIN | RST);
        if !self.talks.contains_key(&link) {
            let is_request = segment.payload.first().is_some_and(u8::is_ascii_uppercase);
            if is_event || !is_request || is_wanted {
                return Fate::Ship;
            }
            if self.talks.len() >= self.most {
                self.blind_until = Some(frame.at + BLIND);
                return Fate::Ship;
            }
            let mut ends = [segment.acknowledgment; 2];
            ends[flow] = segment.sequence;
            let talk = Talk {
                client: flow,
                is_quiet: false,
                is_answered: true,
                is_upgrading: false,
                ends,
                held: None,
                answered: 0,
                began: 0,
            };
            self.talks.insert(link, talk);
        }
        let mut talk = self.talks.remove(&link).unwrap();
        let end = segment.sequence.wrapping_add(u32::try_from(segment.wire_payload).unwrap());
        let mut is_over = false;
        let fate = if is_event {
            let was_quiet = std::mem::take(&mut talk.is_quiet);
            if was_quiet {
                talk.ends[flow] = if is_before(talk.ends[flow], end) { end } else { talk.ends[flow] };
                self.skipped(link, &talk, talk.ends, false, frame.at);
            }
            is_over = segment.has(RST) || flow != talk.client || !talk.is_upgrading;
            if was_quiet { Fate::ShipHeaders } else { Fate::Ship }
        } else if flow == talk.client {
            self.client_says(link, &mut talk, segment, frame, end)
        } else {
            self.server_says(link, &mut talk, segment, frame, end)
        };
        if is_over {
            self.settle(&mut talk);
        } else {
            self.talks.insert(link, talk);
        }
        fate
    }

    /// From now on payload is left out by demand, or the protocol is another.
    pub fn forget(&mut self, segment: &Segment) {
        if let Some(mut talk) = self.talks.remove(&segment.connection()) {
            self.settle(&mut talk);
        }
    }

    fn server_says(&mut self, link: Link, talk: &mut Talk, segment: &Segment, frame: &Owned, end: u32) -> Fate {
        let flow = 1 - talk.client;
        if is_before(talk.ends[flow], end) {
            talk.ends[flow] = end;
            if !talk.is_answered {
                match segment.payload.get(8..12) {
                    Some(b" 101") => self.wake(link, talk, frame.at),
                    Some([b' ', b'1', ..]) => {}
                    _ => {
                        talk.is_answered = true;
                        self.settle(talk);
                    }
                }
            }
        }
        if talk.is_quiet { Fate::LeaveOut } else { Fate::Ship }
    }

    fn client_says(&mut self, link: Link, talk: &mut Talk, segment: &Segment, frame: &Owned, end: u32) -> Fate {
        let (flow, server) = (talk.client, talk.ends[1 - talk.client]);
        if !is_before(talk.ends[flow], end) {
            return if talk.is_quiet { Fate::LeaveOut } else { Fate::Ship };
        }
        if talk.is_quiet && !talk.is_answered {
            self.wake(link, talk, frame.at);
        }
        let class = class(&segment.payload);
        let is_next = talk.ends[flow] == segment.sequence;
        let is_clean = is_next && talk.is_answered && segment.acknowledgment == server;
        let is_loud = self.pending > 0 || self.blind_until.is_some_and(|until| frame.at < until);
        if class == Class::Ordinary && is_clean && !is_loud {
            talk.held = Some(frame.clone());
            (talk.began, talk.answered, talk.ends[flow]) = (segment.sequence, server, end);
            (talk.is_quiet, talk.is_answered) = (true, false);
            self.left_out += 1;
            self.pipelined += pipelined(&segment.payload);
            return Fate::LeaveOut;
        }
        if std::mem::take(&mut talk.is_quiet) {
            self.skipped(link, talk, talk.ends, is_clean, frame.at);
        }
        (talk.ends[flow], talk.is_answered) = (end, false);
        if class == Class::Upgrade && !std::mem::replace(&mut talk.is_upgrading, true) {
            self.pending += 1;
            if self.pending == 1 {
                self.wake_all(frame.at);
            }
        }
        Fate::Ship
    }

    fn wake_all(&mut self, at: Timestamp) {
        let mut talks = std::mem::take(&mut self.talks);
        for (link, talk) in talks.iter_mut().filter(|(_, talk)| talk.is_quiet && !talk.is_answered) {
            self.wake(*link, talk, at);
        }
        self.talks = talks;
    }

    /// Hands on what is held, and leaves out no more.
    fn wake(&mut self, link: Link, talk: &mut Talk, at: Timestamp) {
        if !std::mem::take(&mut talk.is_quiet) {
            return;
        }
        self.left_out -= 1;
        self.pipelined -= talk.held.as_ref().and_then(Segment::read).map_or(0, |held| pipelined(&held.payload));
        let mut ends = [talk.answered; 2];
        ends[talk.client] = talk.began;
        self.skipped(link, talk, ends, true, at);
        self.before.extend(talk.held.take().map(Before::Frame));
    }

    fn skipped(&mut self, link: Link, talk: &Talk, ends: [u32; 2], is_clean: bool, at: Timestamp) {
        let (client, server) = if talk.client == 0 { link } else { (link.1, link.0) };
        let (to_server, to_client) = (ends[talk.client], ends[1 - talk.client]);
        self.before.push(Before::Skipped(Skipped { client, server, to_server, to_client, is_clean, at }));
    }

    fn settle(&mut self, talk: &mut Talk) {
        self.pending -= usize::from(std::mem::take(&mut talk.is_upgrading));
    }
}
