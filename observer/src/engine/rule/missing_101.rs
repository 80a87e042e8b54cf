//! `missing-101`: an upgrade attempt ended, and no 101 reached the client. Says who answered and why.
//!
//! Each cause has a function that looks for it in what was [`Seen`] and says in words what it found. They are asked in the
//! order of [`CAUSES`], the most specific first: a cause may only become one below it when evidence is missing.

mod answer;
mod own;
mod protocol;
mod request;
mod seen;
mod upstream;

use self::seen::{Finding, Seen};
use super::{
    super::{
        Config,
        alert::{Alert, Cause, Details, Level, RuleId},
        attempt::Decided,
        event::{Outcome, Silence},
        handshake::field::{self, UpgradeRequest},
    },
    alert, path, product_at,
};

/// The causes, most specific first.
const CAUSES: [fn(&Seen<'_>) -> Option<Finding>; 23] = [
    answer::uncertain,
    request::never_asked,
    answer::lost,
    request::body_not_allowed,
    request::headers_dropped,
    protocol::proxy_line,
    protocol::tls_expected,
    protocol::tls_unexpected,
    protocol::not_http,
    request::field_doubled,
    request::query_lost,
    request::spelling_changed,
    request::side_request_failed,
    request::not_sticky,
    own::token_not_allowed,
    own::head_too_large,
    request::malformed,
    upstream::failed,
    own::rate_limited,
    answer::named_by_status,
    request::http10,
    own::not_forwarded,
    answer::rejected,
];

pub(super) fn check(decided: &Decided, config: &Config) -> Option<Alert> {
    let attempt = &decided.attempt;
    let client = attempt.first();
    let request = client.request.as_ref()?;
    let asked = request.is_upgrade() || request.complete && request.key().is_some() && decided.claims.main.holds();
    let broken = matches!(attempt.outcome, Outcome::Refused | Outcome::Failed);
    if !asked || !broken || !decided.claims.only.holds() {
        return None;
    }
    let gave_up = client.silence == Some(Silence::ClosedByClient) && decided.waited < config.answer_timeout;
    // A proxy with hard-coded fields sends such requests too.
    if !decided.claims.all_seen.holds()
        && request.is_websocket()
        && (request.key().is_none() || field::defect(request).is_some())
    {
        return None;
    }
    let seen = Seen::of(decided, request);
    // A proxy whose request failed may have tried another server then.
    let failed = seen.status().is_none_or(|status| status >= 500);
    if !decided.claims.first.holds() && failed && attempt.hops.len() == 1 {
        return None;
    }
    // An offer may be declined: by an answer to the ordinary request.
    let found = if request.is_offer() { own::token_not_allowed(&seen) } else { Some(find(&seen)) };
    let Finding { cause, answered_by, by, why, facts } = found?;
    let status: Vec<_> = attempt.path().map(|hop| hop.response.as_ref().map(|response| response.status)).collect();
    let got = status[0].map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let message = format!("The upgrade of {} got {got} instead of 101: {why}.", path(attempt));
    let product = by.as_ref().and_then(|by| product_at(attempt, by)).or_else(|| client.product.clone());
    let doubt = decided.claims.doubt().filter(|_| cause == Cause::Unknown).cloned();
    let details = Details::Missing101 { status, answered_by, cause, by, doubt, facts };
    // A client that did not wait may have had its reasons, unless its 101 was on the way.
    let lost = matches!(cause, Cause::InterimResponse | Cause::HeadTooLarge);
    let lenient = request.may_come_from_http2() || gave_up && !lost;
    let level = if lenient { Level::Notice } else { Level::Error };
    let alert = alert(RuleId::Missing101, level, attempt.decided_at, attempt, message, details);
    Some(Alert { product, ..alert })
}

/// The most specific cause that was found.
fn find(seen: &Seen<'_>) -> Finding {
    CAUSES.iter().find_map(|cause| cause(seen)).unwrap_or_else(|| answer::unknown(seen))
}
