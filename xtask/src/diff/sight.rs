//! What one program saw in a capture: upgrade requests and 101s, by connection.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A client's address and port, and a server's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Connection {
    pub(super) client: String,
    pub(super) server: String,
}

/// A request with an Upgrade field or a Sec-WebSocket-Key, or a 101.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Head {
    Request { method: String, target: String, upgrade: String },
    Switch,
}

/// How often each head was seen, and in which frames.
#[derive(Default)]
pub(super) struct Sight {
    heads: BTreeMap<(Connection, Head), Vec<u64>>,
    /// Upgrade attempts, from their clients' point of view; tshark knows no such thing.
    pub(super) attempts: usize,
}

/// Who alone saw a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Only {
    Tshark,
    Observer,
}

impl Sight {
    /// Notes a head. tshark names the frame of its last byte, the observer that of its first.
    pub(super) fn note(&mut self, connection: Connection, head: Head, frame: u64) {
        self.heads.entry((connection, head)).or_default().push(frame);
    }

    /// Forgets every 101 of a connection without any request for it: a mail may quote one.
    pub(super) fn forget_unasked(&mut self) {
        let requests = self.heads.keys().filter(|(_, head)| *head != Head::Switch);
        let asked: BTreeSet<_> = requests.map(|(connection, _)| connection.clone()).collect();
        self.heads.retain(|(connection, _), _| asked.contains(connection));
    }

    /// How many requests, and how many 101s.
    pub(super) fn counts(&self) -> (usize, usize) {
        let count = |switches: bool| {
            let heads = self.heads.iter().filter(|((_, head), _)| (*head == Head::Switch) == switches);
            heads.map(|(_, frames)| frames.len()).sum()
        };
        (count(false), count(true))
    }

    /// What only one of both saw, one line each.
    pub(super) fn differences(tshark: &Self, observer: &Self) -> Vec<(Only, String)> {
        let keys: BTreeSet<_> = tshark.heads.keys().chain(observer.heads.keys()).collect();
        let mut found = Vec::new();
        for key @ (connection, head) in keys {
            let [theirs, ours] = [tshark, observer].map(|sight| sight.heads.get(key).map_or(&[][..], Vec::as_slice));
            let only = if theirs.len() > ours.len() { Only::Tshark } else { Only::Observer };
            if theirs.len() != ours.len() {
                let (count, frames) = (theirs.len().abs_diff(ours.len()), [theirs, ours].concat());
                found.push((only, format!("{count} times {head}, {connection}, frames {frames:?}")));
            }
        }
        found
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.client, self.server)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { method, target, upgrade } => write!(f, "{method} {target:?} (Upgrade: {upgrade:?})"),
            Self::Switch => write!(f, "101"),
        }
    }
}

/// A field value as both write it: without case and spaces.
pub(super) fn plain(value: &str) -> String {
    value.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_saw_more_often_is_a_difference() {
        let connection = Connection { client: "10.0.0.1:1".into(), server: "10.0.0.2:80".into() };
        let sight = |frames: &[u64]| {
            let mut sight = Sight::default();
            frames.iter().for_each(|frame| sight.note(connection.clone(), Head::Switch, *frame));
            sight
        };
        assert!(Sight::differences(&sight(&[4]), &sight(&[3])).is_empty());
        let found = Sight::differences(&sight(&[4, 9]), &sight(&[4]));
        let line = "1 times 101, 10.0.0.1:1 -> 10.0.0.2:80, frames [4, 9, 4]";
        assert_eq!(found, [(Only::Tshark, line.to_owned())]);
    }
}
