//! How the clocks of several captures stand to each other, in sentences.

use std::time::Duration;

use super::words::{count, span};
use crate::{
    engine::clocks::{Basis, Estimate},
    sink::{clock_name, escape::escape},
    tap::InterfaceInfo,
};

/// What is known of each clock but the first, and whether that is anything. Empty where there is but one.
pub(crate) fn sentences(clocks: &[Estimate], interfaces: &[InterfaceInfo]) -> Vec<(bool, String)> {
    let name = |clock| {
        clock_name(interfaces, clock).map_or_else(|| "another input".to_owned(), |name| escape(&name).into_owned())
    };
    let Some(first) = clocks.iter().find(|estimate| estimate.basis == Basis::First).or(clocks.first()) else {
        return Vec::new();
    };
    let others = || clocks.iter().filter(|estimate| estimate.clock != first.clock);
    let mut sentences: Vec<_> = others()
        .map(|estimate| (estimate.reference != estimate.clock, sentence(estimate, &name(first.clock), &name)))
        .collect();
    if others().any(|estimate| estimate.ahead != 0) {
        sentences.push((true, format!("Times are shown by the clock of {}.", name(first.clock))));
    }
    sentences
}

fn sentence(estimate: &Estimate, first: &str, name: &impl Fn(crate::engine::frame::ClockId) -> String) -> String {
    let (own, reference) = (name(estimate.clock), name(estimate.reference));
    let apart = |why| format!("The clocks of {first} and {own} could not be compared: {why}.");
    let (connections, requests, against) = match estimate.basis {
        Basis::Links { connections, requests, against } => (connections, requests, against),
        Basis::Nothing => return apart("nothing was seen in both"),
        Basis::Contradictory => return apart("what was seen in both contradicts itself"),
        Basis::First | Basis::LeftOut => return apart("an input that can be read only once is not compared"),
    };
    let things = [(connections, "connection"), (requests, "request")];
    let seen: Vec<_> =
        things.iter().filter(|(number, _)| *number > 0).map(|(n, thing)| count(u64::from(*n), thing)).collect();
    let basis = format!("from {}, within {}", seen.join(" and "), span(estimate.within));
    let doubt =
        if against > 0 { format!(" {} did not fit.", count(u64::from(against), "other")) } else { String::new() };
    let ahead = Duration::from_nanos(estimate.ahead.unsigned_abs());
    match estimate.ahead {
        0 => format!("The clocks of {reference} and {own} agree ({basis}).{doubt}"),
        1.. => format!("The clock of {own} is {} ahead of {reference} ({basis}).{doubt}", exact(ahead)),
        _ => format!("The clock of {own} is {} behind {reference} ({basis}).{doubt}", exact(ahead)),
    }
}

/// A span to the millisecond, where it is not shorter than that.
fn exact(ahead: Duration) -> String {
    if ahead < Duration::from_secs(1) { span(ahead) } else { format!("{:.3} s", ahead.as_secs_f64()) }
}
