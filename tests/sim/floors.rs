//! What must be told at the least. Where bytes are missing nobody can tell all that is due, but silence must be able to
//! fail a test: of each kind of damage and each rule there is a share below which a change has made the engine say less.

use super::{
    tally::Share,
    tap::{COMPLETE, DOWNSTREAM, EARLY, FOREIGN_GAP, LATE, UPSTREAM, WHOLE},
};

/// Of fewer alerts that are due, a share tells too little; but where everything must be told, one is enough.
const ENOUGH: u64 = 200;
const ALL: u64 = 1000;

/// Thousandths of the alerts that are due, by kind of capture, in the order of [`Share::all`]: from 10 to 15 below what is
/// reached, or more where few are due. Raise them as the engine gets better.
#[rustfmt::skip]
const FLOORS: [(&str, [u64; 11]); 14] = [
    // headers dropped, http10, injected, accept, negotiation, missing 101, idle, mass, abrupt, polling, cause
    (COMPLETE, [ALL; 11]),
    (FOREIGN_GAP, [ALL; 11]),
    ("drop-few", [940, 940, 920, 975, 955, 950, 910, 825, 385, 945, 910]),
    ("drop-payload", [890, 905, 870, 970, 925, 910, 890, 765, 340, 905, 855]),
    ("drop-flow-run", [960, 965, 955, 975, 965, 970, 870, 880, 470, 945, 945]),
    ("drop-run", [925, 915, 930, 945, 940, 950, 365, 295, 270, 925, 910]),
    ("drop-tenth", [700, 705, 710, 845, 730, 800, 390, 100, 100, 730, 625]),
    ("snaplen", [500, 765, 765, 525, 505, 725, 385, 190, 120, 770, 585]),
    ("snaplen-some", [460, 590, 490, 775, 610, 710, 0, 0, 0, 710, 350]),
    (LATE, [985, 960, 960, 960, 975, 975, 990, 965, 540, 950, 950]),
    (EARLY, [990, 960, 970, 965, 965, 990, 55, 80, 280, 575, 985]),
    (DOWNSTREAM, [0, 0, 0, 960, 550, 990, 0, 0, 0, 960, 280]),
    (UPSTREAM, [730, 590, 325, 715, 395, 695, 360, 200, 305, 675, 615]),
    (WHOLE, [640, 710, 685, 855, 730, 755, 470, 515, 305, 735, 615]),
];

/// The floor of what is due in captures of one kind, if so many of it are too few.
pub fn is_below(kind: &str, share: Share, told: u64, due: u64) -> Option<u64> {
    let (_, floors) = FLOORS.iter().find(|(known, _)| *known == kind).expect("every kind of capture has its floors");
    let (_, &floor) = Share::all().zip(floors).find(|(known, _)| *known == share).expect("each has its place");
    (told * 1000 < floor * due && (due >= ENOUGH || floor == ALL)).then_some(floor)
}
