//! The products whose ways the tool knows, as data: one file each. `identify` decides by them who a proxy is.
//!
//! What is said of a product was seen on the wire where `tried` is set, and is from its documents otherwise.

mod alb;
mod apache;
mod azure;
mod caddy;
mod cloudflare;
mod envoy;
mod go;
mod google;
mod haproxy;
mod heroku;
mod identify;
mod iis;
mod ingress;
mod kong;
mod lighttpd;
mod mitmproxy;
mod name;
mod nghttpx;
mod nginx;
mod node;
mod squid;
mod tinyproxy;
mod traefik;
mod varnish;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::{
    identify::{Identity, Message, identify, page_of, sender},
    name::{Candidates, Product, ProductName},
};
use super::event::Request;

/// What is known of one product.
#[derive(Debug)]
pub struct Profile {
    /// Which one.
    pub name: ProductName,
    /// Whether this was seen on the wire; otherwise it is from the product's documents.
    pub tried: bool,
    /// The first words of its own `Server` values (RFC 9110 10.2.4), in lower case and without version.
    servers: &'static [&'static str],
    /// Whether it replaces the origin's `Server` by its own.
    replaces_server: bool,
    /// The fields that its answers begin with, in their order.
    answer_begins: &'static [&'static str],
    /// Words by which it names itself in `Via` (RFC 9110 7.6.3), in lower case.
    via: &'static [&'static str],
    /// What it adds to requests that it forwards.
    sends: &'static [Mark],
    /// Fields that only its answers have.
    answers: &'static [&'static str],
    /// The names of its processes.
    processes: &'static [&'static str],
    /// Parts of its own error pages.
    pages: &'static [&'static str],
    /// How it writes field names. Only a habit: several products share it.
    spelling: Spelling,
    /// Whether the fields of a request are in an order that it alone makes, before and after it.
    arranges: Option<fn(&Request, &Request) -> bool>,
    /// Its defaults that end silent tunnels.
    pub timers: &'static [Timer],
}

/// Fields that a product adds, in this order.
#[derive(Debug)]
struct Mark {
    names: &'static [&'static str],
    /// Whether they stand behind the client's fields: others may be configured to add them, but put them elsewhere.
    at_end: bool,
}

/// How a product writes the names of fields that it passes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Spelling {
    /// As they came.
    Kept,
    /// In lower case.
    Lower,
    /// As Go does: `Sec-Websocket-Key`.
    Go,
}

/// A default after which a product ends a silent tunnel.
#[derive(Debug)]
pub struct Timer {
    /// Its name there, such as `proxy_read_timeout`.
    pub name: &'static str,
    /// After so long.
    pub after: Duration,
}

impl Profile {
    /// Nothing known yet.
    const fn of(name: ProductName) -> Self {
        Self {
            name,
            tried: false,
            servers: &[],
            replaces_server: false,
            answer_begins: &[],
            via: &[],
            sends: &[],
            answers: &[],
            processes: &[],
            pages: &[],
            spelling: Spelling::Kept,
            arranges: None,
            timers: &[],
        }
    }
}

const fn mark(names: &'static [&'static str]) -> Mark {
    Mark { names, at_end: false }
}

const fn timer(name: &'static str, seconds: u64) -> Timer {
    Timer { name, after: Duration::from_secs(seconds) }
}

/// Every product, in the order of [`ProductName::ALL`].
pub static PROFILES: [Profile; ProductName::ALL.len()] = [
    nginx::PROFILE,
    ingress::PROFILE,
    kong::PROFILE,
    haproxy::PROFILE,
    apache::PROFILE,
    caddy::PROFILE,
    envoy::PROFILE,
    traefik::PROFILE,
    go::PROFILE,
    node::PROFILE,
    lighttpd::PROFILE,
    varnish::PROFILE,
    squid::PROFILE,
    mitmproxy::PROFILE,
    nghttpx::PROFILE,
    tinyproxy::PROFILE,
    iis::PROFILE,
    alb::PROFILE,
    cloudflare::PROFILE,
    google::PROFILE,
    azure::PROFILE,
    heroku::PROFILE,
];

/// What is known of a product.
#[must_use]
pub fn profile(name: ProductName) -> &'static Profile {
    &PROFILES[name as usize]
}
