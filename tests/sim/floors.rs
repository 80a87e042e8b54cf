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
    ("drop-few", [915, 890, 920, 980, 935, 920, 750, 835, 280, 910, 790]),
    ("drop-payload", [850, 810, 870, 970, 920, 855, 700, 760, 225, 870, 690]),
    ("drop-flow-run", [955, 935, 955, 965, 960, 965, 830, 885, 420, 920, 905]),
    ("drop-run", [890, 845, 895, 945, 925, 940, 315, 295, 250, 925, 845]),
    ("drop-tenth", [610, 515, 675, 820, 610, 765, 160, 100, 25, 650, 450]),
    ("snaplen", [480, 665, 775, 540, 505, 680, 210, 190, 40, 720, 425]),
    ("snaplen-some", [445, 445, 510, 700, 600, 730, 0, 0, 0, 625, 325]),
    (LATE, [940, 875, 960, 960, 945, 930, 990, 965, 210, 935, 705]),
    (EARLY, [990, 960, 970, 965, 965, 990, 55, 80, 300, 575, 985]),
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
