//! What is known of the clocks of several captures, in the counters' record.

use serde::Serialize;

use super::build::Context;
use crate::{
    engine::clocks::{Basis, Estimate},
    sink::clock_name,
};

/// One clock.
#[derive(Serialize)]
pub(super) struct Clock {
    /// The capture that it stamped.
    name: String,
    /// The capture whose clock is shown in place of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    offset: Option<Offset>,
    /// Why it could not be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<&'static str>,
}

#[derive(Serialize)]
struct Offset {
    ahead_seconds: f64,
    within_seconds: f64,
    connections: u32,
    requests: u32,
    contradicting: u32,
}

/// All of them, where there are several.
pub(super) fn of(context: &Context<'_>, clocks: &[Estimate]) -> Vec<Clock> {
    if clocks.len() < 2 { Vec::new() } else { clocks.iter().map(|estimate| clock(context, estimate)).collect() }
}

fn clock(context: &Context<'_>, estimate: &Estimate) -> Clock {
    let name = |clock| clock_name(context.interfaces, clock).map(|name| context.text(&name));
    let (offset, unknown) = match estimate.basis {
        Basis::First => (None, None),
        Basis::Links { connections, requests, against } => {
            (Some(offset(estimate, connections, requests, against)), None)
        }
        Basis::Nothing => (None, Some("nothing-in-common")),
        Basis::Contradictory => (None, Some("contradictory")),
        Basis::LeftOut => (None, Some("not-compared")),
    };
    let reference = offset.as_ref().and_then(|_| name(estimate.reference));
    Clock { name: name(estimate.clock).unwrap_or_default(), reference, offset, unknown }
}

/// Seconds to the microsecond.
#[expect(clippy::cast_precision_loss, reason = "microseconds of centuries are below the 52 bits that are exact")]
fn offset(estimate: &Estimate, connections: u32, requests: u32, contradicting: u32) -> Offset {
    let micros = i64::try_from(estimate.within.as_micros()).unwrap_or(i64::MAX);
    Offset {
        ahead_seconds: (estimate.ahead / 1000) as f64 / 1e6,
        within_seconds: micros as f64 / 1e6,
        connections,
        requests,
        contradicting,
    }
}
