//! How far one clock is ahead of another by all that links them. A link may be false, as where a key was used twice: so
//! the offset is what most of them agree about, and nothing where a rival has almost as many.

use super::{
    Basis, NOISE,
    link::{Link, What, median},
};

/// One part in so many by which two clocks may drift apart.
const DRIFT: i64 = 10_000;
/// How long a proxy may take to send a request on, in nanoseconds, while nothing else says how the clocks stand.
const ALIKE: i64 = 50_000_000;
/// What stamps are good to, in nanoseconds: they are of microseconds, and taken by several processors.
const GRAIN: i64 = 10_000;
/// How many times as many links an offset must have as one that contradicts it.
const SURE: usize = 2;

/// How far a clock is ahead of another one, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Offset {
    pub(super) ahead: i64,
    /// How far off that may be.
    pub(super) within: i64,
    pub(super) basis: Basis,
}

/// The offset that links agree about; `None` where they do not.
pub(super) fn offset(links: &[Link]) -> Option<Offset> {
    let slack = slack(links);
    let wide = |link: &Link| (link.least.saturating_sub(slack), link.most.saturating_add(slack));
    let best = most_agreed(links.iter().map(wide))?;
    let (with, against): (Vec<&Link>, Vec<&Link>) = links.iter().partition(|link| covers(wide(link), best));
    if let Some(rival) = most_agreed(against.iter().map(|link| wide(link))) {
        let rivals = against.iter().filter(|link| covers(wide(link), rival)).count();
        let supporters = with.iter().filter(|link| !covers(wide(link), rival)).count();
        if supporters < SURE * rivals {
            return None;
        }
    }
    let (least, most) = (with.iter().map(|link| link.least).max()?, with.iter().map(|link| link.most).min()?);
    // Where clocks drifted, no offset fits all of them: then it lies between those that fit.
    let (least, most) = (least.min(most), most.max(least));
    let ahead = likely(&with, least, most);
    let within = ahead.saturating_sub(least).max(most.saturating_sub(ahead)).saturating_add(GRAIN);
    let basis =
        Basis::Links { connections: connections(&with), requests: requests(&with), against: count(against.len()) };
    Some(Offset { ahead, within, basis })
}

impl Offset {
    /// How far the one clock is ahead of the other.
    pub(super) const fn reversed(self) -> Self {
        Self { ahead: self.ahead.saturating_neg(), ..self }
    }
}

/// The best guess between both. Most clocks are set right: they are alike where that may be.
fn likely(links: &[&Link], least: i64, most: i64) -> i64 {
    let may_be_alike = least <= 0 && most >= 0;
    let prompts: Option<Vec<_>> = links.iter().map(|link| link.prompt).collect();
    match prompts.and_then(median) {
        None if may_be_alike => 0,
        None => least.midpoint(most),
        Some(prompt) if may_be_alike && prompt.abs() < ALIKE => 0,
        Some(prompt) => prompt.clamp(least, most),
    }
}

/// How far true links may miss each other.
fn slack(links: &[Link]) -> i64 {
    let times = || links.iter().map(|link| link.at);
    let span = times().max().zip(times().min()).map_or(0, |(last, first)| last.saturating_sub(first));
    i64::try_from(NOISE.as_nanos()).unwrap_or(0) + span / DRIFT
}

const fn covers(wide: (i64, i64), range: (i64, i64)) -> bool {
    wide.0 <= range.0 && range.1 <= wide.1
}

/// The first range that the most of these share.
fn most_agreed(ranges: impl Iterator<Item = (i64, i64)>) -> Option<(i64, i64)> {
    let mut ends: Vec<_> = ranges.flat_map(|(least, most)| [(least, false), (most, true)]).collect();
    ends.sort_unstable();
    let (mut open, mut best, mut found) = (0_usize, 0, None);
    for (index, (at, closes)) in ends.iter().enumerate() {
        open = if *closes { open - 1 } else { open + 1 };
        if open > best {
            best = open;
            found = ends.get(index + 1).map(|(next, _)| (*at, *next));
        }
    }
    found
}

fn connections(links: &[&Link]) -> u32 {
    distinct(links.iter().map(|link| link.what).filter(|what| matches!(what, What::Connection(_))))
}

fn requests(links: &[&Link]) -> u32 {
    distinct(links.iter().map(|link| link.what).filter(|what| matches!(what, What::Request(_))))
}

fn distinct(things: impl Iterator<Item = What>) -> u32 {
    let mut things: Vec<_> = things.collect();
    things.sort_unstable();
    things.dedup();
    count(things.len())
}

fn count(things: usize) -> u32 {
    u32::try_from(things).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn link(number: u64, second: i64, least: i64, most: i64) -> Link {
        let (least, most) = (least * MS, most * MS);
        let (what, at) = (What::Request(number), second * 1000 * MS);
        Link { what, at, least, most, prompt: None }
    }

    /// Each case: least and most in ms; the offset and how far off in ms, and how many are against it.
    #[track_caller]
    fn check(ranges: &[(i64, i64)], expected: Option<(i64, i64, u32)>) {
        let links: Vec<_> = (0..).zip(ranges).map(|(number, (least, most))| link(number, 0, *least, *most)).collect();
        let found = offset(&links).map(|offset| {
            let Basis::Links { against, requests, .. } = offset.basis else { unreachable!("it has links") };
            assert_eq!(requests as usize, ranges.len() - against as usize);
            (offset.ahead / MS, offset.within / MS, against)
        });
        assert_eq!(found, expected, "{ranges:?}");
    }

    #[test]
    fn links_that_agree_narrow_the_offset() {
        check(&[], None);
        check(&[(4990, 5010)], Some((5000, 10, 0)));
        check(&[(4990, 5010), (5000, 5020)], Some((5005, 5, 0)));
        check(&[(-3_600_010, -3_600_000)], Some((-3_600_005, 5, 0)));
        // A long one says little.
        check(&[(-60_000, 5010), (5000, 5020)], Some((5005, 5, 0)));
        // Clocks that may be alike are taken to be.
        check(&[(-3, 8), (-5, 2)], Some((0, 3, 0)));
    }

    #[test]
    fn a_request_was_sent_on_at_once_where_nothing_says_more() {
        let prompt = |least, most| Link { prompt: Some(most * MS), ..link(1, 0, least, most) };
        let ahead = |links: &[Link]| offset(links).map(|offset| (offset.ahead / MS, offset.within / MS));
        assert_eq!(ahead(&[prompt(-55_000, 5003)]), Some((5003, 60_003)));
        assert_eq!(ahead(&[prompt(-60_000, 3)]), Some((0, 60_000)));
        assert_eq!(ahead(&[prompt(-55_000, 5003), link(2, 0, 4990, 5010)]), Some((4996, 6)));
    }

    #[test]
    fn a_false_link_does_not_destroy_what_others_say() {
        check(&[(4990, 5010), (5000, 5020), (70, 80)], Some((5005, 5, 1)));
        check(&[(4990, 5010), (70, 80), (5000, 5020), (990, 1000), (5001, 5021)], Some((5005, 4, 2)));
    }

    #[test]
    fn what_contradicts_itself_is_unknown() {
        check(&[(4990, 5010), (70, 80)], None);
        check(&[(4990, 5010), (5000, 5020), (70, 80), (75, 85)], None);
        // One that fits both does not make either more likely.
        check(&[(0, 10_000), (2000, 3000), (7000, 8000)], None);
    }

    #[test]
    fn clocks_that_drift_are_known_less_well() {
        // 50 millionths in two hours.
        let links: Vec<_> = (0..=720).map(|ten| link(1, ten * 10, 5000 + ten / 2, 5001 + ten / 2)).collect();
        let Offset { ahead, within, basis } = offset(&links).unwrap();
        assert_eq!((ahead / MS, within / MS), (5180, 179));
        assert_eq!(basis, Basis::Links { connections: 0, requests: 1, against: 0 });
    }
}
