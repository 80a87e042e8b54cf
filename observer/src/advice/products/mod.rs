//! What to do on each product: one file each, with its fixes by what is to be mended, how it takes a new configuration, and
//! what it cannot do at all. Whether that was tried here or is from its documents is told by `engine::product`.

mod apache;
mod caddy;
mod cloud;
mod code;
mod envoy;
mod haproxy;
mod iis;
mod ingress;
mod kong;
mod lighttpd;
mod mitmproxy;
mod nghttpx;
mod nginx;
mod squid;
mod tinyproxy;
mod traefik;
mod varnish;

use super::site::Site;
use crate::engine::event::ProductName;

/// What is to be mended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Need {
    /// The upgrade fields are not forwarded.
    Forward,
    /// The request goes upstream as HTTP/1.0.
    Version,
    /// Ordinary requests become upgrades.
    Injected,
    /// A Sec-WebSocket field is altered.
    Negotiation,
    /// Nothing serves the path.
    Route,
    /// A redirect adds a slash to the path.
    Slash,
    /// A rule of the proxy denies the path.
    Denied,
    /// A limit of rate or connections was reached.
    Limited,
    /// The origin refuses connections, or cannot be reached.
    Origin,
    /// The origin sees another Host than the client sent.
    Host,
    /// A field goes upstream twice.
    Doubled,
    /// The query is lost on the way.
    Query,
    /// The origin takes field names only as they are usually spelled.
    Spelling,
    /// A PROXY protocol header that is not expected.
    ProxyLine,
    /// The origin's port speaks TLS.
    TlsOrigin,
    /// The origin's port does not speak TLS.
    PlainOrigin,
    /// The origin is spoken to by HTTP/2, and has no upgrades over it.
    Http1Origin,
    /// An auth subrequest carries the upgrade.
    SideRequest,
    /// Requests of one session go to several origins.
    Sticky,
    /// Another upgrade token than those that are forwarded.
    Token,
    /// A head is larger than a buffer.
    Head,
    /// Origins are taken out of use after failures.
    NoLive,
    /// Health checks fail.
    Checks,
    /// The origin's address has changed.
    Stale,
    /// Silent tunnels are cut by a timer.
    Idle,
    /// Tunnels are cut at one age.
    Lifetime,
    /// A reload cuts tunnels.
    Reload,
    /// The 101 lacks a field that the origin sent.
    Hidden,
    /// A request is forwarded to two origins.
    Twice,
}

/// What to do: where and what to watch for, and configuration to paste, which may be empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Advice {
    pub(super) text: String,
    pub(super) snippet: String,
}

/// An advice.
#[allow(clippy::unnecessary_wraps, reason = "the last word of functions that may have none")]
fn advice(text: impl Into<String>, snippet: impl Into<String>) -> Option<Advice> {
    Some(Advice { text: text.into(), snippet: snippet.into() })
}

/// What is known of how to set up one product.
pub(super) struct Manual {
    /// The fix, where a line of its configuration is one.
    pub(super) fix: fn(Need, &Site) -> Option<Advice>,
    /// How it takes a new configuration.
    pub(super) reload: &'static str,
}

/// The manual of a product.
pub(super) fn manual(name: ProductName) -> &'static Manual {
    match name {
        ProductName::Nginx => &nginx::MANUAL,
        ProductName::Ingress => &ingress::MANUAL,
        ProductName::Kong => &kong::MANUAL,
        ProductName::HaProxy => &haproxy::MANUAL,
        ProductName::Apache => &apache::MANUAL,
        ProductName::Caddy => &caddy::MANUAL,
        ProductName::Envoy => &envoy::MANUAL,
        ProductName::Traefik => &traefik::MANUAL,
        ProductName::GoProxy => &code::GO,
        ProductName::NodeProxy => &code::NODE,
        ProductName::Lighttpd => &lighttpd::MANUAL,
        ProductName::Varnish => &varnish::MANUAL,
        ProductName::Squid => &squid::MANUAL,
        ProductName::Mitmproxy => &mitmproxy::MANUAL,
        ProductName::Nghttpx => &nghttpx::MANUAL,
        ProductName::Tinyproxy => &tinyproxy::MANUAL,
        ProductName::Iis => &iis::MANUAL,
        ProductName::Alb => &cloud::ALB,
        ProductName::Cloudflare => &cloud::CLOUDFLARE,
        ProductName::Google => &cloud::GOOGLE,
        ProductName::Azure => &cloud::AZURE,
        ProductName::Heroku => &cloud::HEROKU,
    }
}
