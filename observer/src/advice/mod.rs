//! What to do about an alert: a name and a reference for every rule, a fix for the product and version that the capture
//! shows, and the longer texts of `observer explain`. Facts here were measured or read in the products' documents.

mod explain;
mod fix;
mod products;
mod site;

#[cfg(test)]
mod programs;
#[cfg(test)]
mod tests;

pub use explain::explain;
pub use fix::{Fix, fix};

use crate::engine::alert::RuleId;

/// A rule's name for people.
#[must_use]
pub const fn name(rule: RuleId) -> &'static str {
    match rule {
        RuleId::Broken101 => "A 101 that the client cannot use",
        RuleId::UpgradeHeadersDropped => "Upgrade fields not forwarded",
        RuleId::Http10Upstream => "Upgrade forwarded as HTTP/1.0",
        RuleId::UpgradeInjected => "Upgrade added to an ordinary request",
        RuleId::AcceptMismatch => "Sec-WebSocket-Accept does not fit the key",
        RuleId::NegotiationAltered => "Negotiation altered on the way",
        RuleId::Missing101 => "No 101 reached the client",
        RuleId::IdleClose => "Idle tunnel closed by the proxy",
        RuleId::LifetimeClose => "Tunnels closed by the proxy at one age",
        RuleId::MassClose => "Many tunnels closed by the proxy at once",
        RuleId::ErrorClose => "Tunnel ended with an error, or before it was used",
        RuleId::AbruptClose => "Tunnel ended without a Close frame",
        RuleId::PollingFallback => "Client fell back to long polling",
    }
}

/// The text that says how it should be.
#[must_use]
pub const fn reference(rule: RuleId) -> &'static str {
    match rule {
        RuleId::UpgradeHeadersDropped => "RFC 9110 7.6.1",
        RuleId::Http10Upstream | RuleId::UpgradeInjected => "RFC 9110 7.8",
        RuleId::AcceptMismatch => "RFC 6455 4.2.2",
        RuleId::NegotiationAltered => "RFC 6455 4.1",
        RuleId::Broken101 | RuleId::Missing101 => "RFC 9110 15.2.2",
        RuleId::IdleClose => "RFC 6455 5.5.2",
        RuleId::ErrorClose => "RFC 6455 7.4",
        RuleId::LifetimeClose | RuleId::MassClose | RuleId::AbruptClose => "RFC 6455 7.1.1",
        RuleId::PollingFallback => "RFC 6202 2",
    }
}
