//! `polling-fallback`: a client whose WebSocket attempt failed goes on by long polling, so that nobody notices.

use super::{
    super::{
        alert::{Alert, Details, Level, RuleId},
        attempt::Fallback,
    },
    alert,
};

pub(super) fn check(fallback: &Fallback) -> Alert {
    let client = &fallback.attempt.first().client;
    let message = format!(
        "The client at {client} goes on by long polling at {} after its WebSocket attempt failed.",
        fallback.target
    );
    let details = Details::PollingFallback {
        target: fallback.target.to_string(),
        requests: fallback.polls,
        frame: fallback.frame,
    };
    alert(RuleId::PollingFallback, Level::Notice, fallback.at, &fallback.attempt, message, details)
}
