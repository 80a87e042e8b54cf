//! Why something is unknown, in words: the hole that stands in the way, or what else was seen that fits.

use super::wall;
use crate::engine::{
    knowledge::{Doubt, Hole, HoleKind},
    tcp::Direction,
    time::Timestamp,
};

/// Why a claim does not hold, as the end of a sentence.
pub(crate) fn of_doubt(doubt: &Doubt) -> String {
    match doubt {
        Doubt::Hole(hole) => of_hole(hole),
        Doubt::Rival => "the hops fit another attempt as well, and nothing tells whose they are".to_owned(),
        Doubt::Sibling => "another request with the same key was sent elsewhere at that time".to_owned(),
        Doubt::Aside => "it may be a request of the proxy's own, such as an auth subrequest".to_owned(),
        Doubt::Contradiction => "what the client got does not follow from what the next hop answered".to_owned(),
        Doubt::Unread => "the last bytes on every hop were not captured or could not be read".to_owned(),
        Doubt::Open => "the attempt was not over".to_owned(),
    }
}

/// What a hole hides, and where it is.
pub(crate) fn of_hole(hole: &Hole) -> String {
    let way = way(hole);
    let shown = if hole.frame > 0 { format!(" (before frame {})", hole.frame) } else { String::new() };
    let times = times(hole.from, hole.to);
    match hole.kind {
        HoleKind::Lost => format!("frames were lost{times}"),
        HoleKind::Evicted => format!("requests seen{times} were evicted to stay under the memory limit"),
        _ if hole.count > 1 => format!("in {} places, bytes of {way} were not captured{times}", hole.count),
        HoleKind::Gap if hole.bytes > 0 => {
            let bytes = if hole.bytes == 1 { "1 byte".to_owned() } else { format!("{} bytes", hole.bytes) };
            format!("{bytes} of {way}{times} were not captured{shown}")
        }
        HoleKind::Gap => format!("bytes of {way}{times} were not captured{shown}"),
        HoleKind::Unasked => {
            let answered = if hole.frame > 0 { format!(" (answered in frame {})", hole.frame) } else { String::new() };
            format!("a request {way}{times} was not captured{answered}")
        }
        HoleKind::Unread => format!("the connection {way} was opened{times}, but no request on it was captured"),
        HoleKind::CutHead => format!("a request head of {way} was not captured whole{times}{shown}"),
    }
}

fn way(hole: &Hole) -> String {
    match hole.way {
        Some(Direction::ToServer) => format!("{} -> {}", hole.client, hole.server),
        Some(Direction::ToClient) => format!("{} -> {}", hole.server, hole.client),
        None => format!("{} <-> {}", hole.client, hole.server),
    }
}

/// When, where that is known.
fn times(from: Timestamp, to: Timestamp) -> String {
    let clock = |at: Timestamp| wall::time(at).strftime("%H:%M:%S%.3f").to_string();
    match (from == Timestamp::MIN, to == Timestamp::MAX) {
        (true, true) => String::new(),
        (true, false) => format!(" before {}", clock(to)),
        (false, true) => format!(" after {}", clock(from)),
        (false, false) => format!(" between {} and {}", clock(from), clock(to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{host::Socket, knowledge::Place, sample};

    fn end(address: &str) -> Socket {
        Socket::of(address.parse().unwrap(), crate::engine::host::Realm::default())
    }

    fn gap() -> Hole {
        let (client, server) = (end("10.0.0.2:51234"), end("10.0.0.3:3000"));
        let times = (sample::at(0.0), sample::at(200.0));
        let hole = Hole::between(client, server, HoleKind::Gap, Some(Direction::ToServer), times);
        Hole { bytes: 1448, frame: 131, ..hole }
    }

    #[test]
    fn a_gap_names_its_bytes_ends_times_and_frame() {
        assert_eq!(
            of_hole(&gap()),
            "1448 bytes of 10.0.0.2:51234 -> 10.0.0.3:3000 between 21:58:46.082 and 21:58:46.282 were not captured \
             (before frame 131)"
        );
    }

    #[test]
    fn merged_holes_say_how_many_they_were() {
        let other = Hole { client: Place::End(end("10.0.0.9:1")), ..gap() };
        assert_eq!(
            of_hole(&gap().merged(&other)),
            "in 2 places, bytes of any host -> 10.0.0.3:3000 were not captured between 21:58:46.082 and 21:58:46.282"
        );
    }
}
