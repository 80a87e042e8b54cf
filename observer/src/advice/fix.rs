//! The fix for one alert: what is to be mended, by rule and cause; `products` has how. None is given where none would be honest.

use super::{
    products::{Advice, Need, manual},
    site::{Site, by},
};
use crate::engine::{
    alert::{Alert, AnsweredBy, Cause, Details, Fault, TimerAt},
    event::{Candidates, Endpoint, Fields, Product, ProductName},
    handshake::field,
};

/// What mends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fix {
    /// The product that the snippet is for.
    pub product: &'static str,
    /// Its version where the capture shows it.
    pub version: Option<String>,
    /// Whether the product is not known, so that this is only an example.
    pub example: bool,
    /// Where to put the snippet and what to watch for. May hold a path from the wire.
    pub text: String,
    /// Configuration to paste, over several lines; empty where none is needed. Holds plain words from the wire only.
    pub snippet: String,
    /// How the product takes a new configuration.
    pub reload: &'static str,
    /// A command that shows whether it works, over several lines.
    pub check: String,
}

/// The fix for this alert, where there is an honest one. Where the product is not known, it is an example for one that it
/// may be.
#[must_use]
pub fn fix(alert: &Alert) -> Option<Fix> {
    let need = need(alert)?;
    match &alert.product {
        Some(Product { name, version }) => {
            let site = site(alert, need, version.as_deref());
            let Advice { text, snippet } = (manual(*name).fix)(need, &site)?;
            Some(made(*name, version.as_deref(), (false, text, snippet), &site))
        }
        None => example(alert, need),
    }
}

fn site(alert: &Alert, need: Need, version: Option<&str>) -> Site {
    let site = Site::of(alert, version);
    if need == Need::Origin { site.unreachable() } else { site }
}

/// A fix for a product that it may be, by its habits, or for nginx.
fn example(alert: &Alert, need: Need) -> Option<Fix> {
    let site = site(alert, need, None);
    let candidates = candidates(alert);
    let mut names = candidates.iter().chain(candidates.is_empty().then_some(ProductName::Nginx));
    let (name, Advice { text, snippet }) = names.find_map(|name| Some((name, (manual(name).fix)(need, &site)?)))?;
    let fits = if candidates.is_empty() {
        String::new()
    } else {
        format!(" (its habits fit {})", either(candidates.iter().map(ProductName::as_str).collect()))
    };
    let text = format!(
        "Proxy product unknown{fits}; example for {}. Others: observer explain {}. {text}",
        name.as_str(),
        alert.rule
    );
    Some(made(name, None, (true, text, snippet), &site))
}

fn made(
    name: ProductName,
    version: Option<&str>,
    (example, text, snippet): (bool, String, String),
    site: &Site,
) -> Fix {
    let (product, version) = (name.as_str(), version.map(str::to_owned));
    Fix { product, version, example, text, snippet, reload: manual(name).reload, check: site.check() }
}

/// `one, two or three`.
fn either(mut names: Vec<&str>) -> String {
    let last = names.pop().unwrap_or("");
    if names.is_empty() { last.to_owned() } else { format!("{} or {last}", names.join(", ")) }
}

/// The products that the proxy at fault may be.
fn candidates(alert: &Alert) -> Candidates {
    let hops = &alert.attempt.hops;
    let at = by(&alert.details).and_then(|by| hops.iter().find(|hop| hop.server == *by && !hop.candidates.is_empty()));
    at.unwrap_or(alert.attempt.first()).candidates
}

fn need(alert: &Alert) -> Option<Need> {
    match &alert.details {
        Details::HeadersDropped { .. } => Some(Need::Forward),
        Details::Http10 { .. } => Some(Need::Version),
        Details::Injected { .. } => Some(Need::Injected),
        Details::Negotiation { by, .. } => is_proxy(alert, by).then_some(Need::Negotiation),
        Details::Missing101 { cause, answered_by, by, .. } => missing(alert, *cause, *answered_by, by.as_ref()),
        // Of something else than the proxy that was seen.
        Details::IdleClose { at: TimerAt::InFront, .. } => None,
        Details::IdleClose { .. } => Some(Need::Idle),
        Details::LifetimeClose { .. } => Some(Need::Lifetime),
        Details::Broken { by, fault } if is_proxy(alert, by) => match fault {
            Fault::FieldMissing(_) => Some(Need::Hidden),
            Fault::AnsweredTwice { .. } => Some(Need::Twice),
            Fault::Unconfirmed { .. } => None,
        },
        Details::MassClose { .. } => Some(Need::Reload),
        // The origin's library, the client, or chance: no line of a proxy's configuration.
        Details::Broken { .. }
        | Details::Accept { .. }
        | Details::ErrorClose { .. }
        | Details::AbruptClose { .. }
        | Details::PollingFallback { .. } => None,
    }
}

fn missing(alert: &Alert, cause: Cause, answered_by: AnsweredBy, by: Option<&Endpoint>) -> Option<Need> {
    let by_proxy = answered_by == AnsweredBy::Proxy;
    let by_client = by.is_some_and(|by| alert.attempt.first().client == *by);
    match cause {
        Cause::HeadersDropped => Some(Need::Forward),
        Cause::Http10 => Some(Need::Version),
        Cause::FieldDoubled => Some(Need::Doubled),
        Cause::QueryLost => Some(Need::Query),
        Cause::SpellingChanged => Some(Need::Spelling),
        Cause::ProxyLine => Some(Need::ProxyLine),
        Cause::TlsExpected => (!by_client).then_some(Need::TlsOrigin),
        Cause::TlsUnexpected => (!by_client).then_some(Need::PlainOrigin),
        Cause::Http2Upstream => Some(Need::Http1Origin),
        Cause::SideRequestFailed => Some(Need::SideRequest),
        Cause::NotSticky => Some(Need::Sticky),
        Cause::TokenNotAllowed => Some(Need::Token),
        Cause::HeadTooLarge => Some(Need::Head),
        Cause::NoLiveUpstream => Some(Need::NoLive),
        Cause::ChecksFailing => Some(Need::Checks),
        Cause::StaleAddress => Some(Need::Stale),
        Cause::RateLimited => Some(Need::Limited).filter(|_| by_proxy),
        Cause::NotForwarded | Cause::Redirected if by_proxy && adds_slash(alert) => Some(Need::Slash),
        Cause::NotForwarded => unserved(alert),
        Cause::Redirected if by_proxy => Some(Need::Route),
        Cause::UpstreamRefused | Cause::UpstreamUnreachable => Some(Need::Origin),
        Cause::OriginRejected if status(alert) == Some(403) && host_changed(alert) => Some(Need::Host),
        // The origin, the client or its credentials, or what is not known: no line of the proxy's configuration.
        Cause::BodyNotAllowed
        | Cause::NotHttp
        | Cause::InterimResponse
        | Cause::NoTcpUpstream
        | Cause::UpstreamSilent
        | Cause::UpstreamClosed
        | Cause::OriginRejected
        | Cause::Redirected
        | Cause::AuthRequired
        | Cause::VersionUnsupported
        | Cause::RelayLost
        | Cause::ClientMalformed
        | Cause::Unknown => None,
    }
}

/// What a proxy's own answer to a request that it did not forward asks for. Whoever is limited or denied has a route.
fn unserved(alert: &Alert) -> Option<Need> {
    match status(alert) {
        Some(429 | 503) => Some(Need::Limited),
        Some(403) => Some(if envoy(alert) { Need::Route } else { Need::Denied }),
        Some(400 | 401 | 407 | 408 | 410 | 413 | 414 | 431 | 444 | 499..=599) => None,
        _ => Some(Need::Route),
    }
}

/// Envoy answers 403 to upgrades that it is not told to forward.
fn envoy(alert: &Alert) -> bool {
    alert.product.as_ref().is_some_and(|product| product.name == ProductName::Envoy)
}

fn status(alert: &Alert) -> Option<u16> {
    alert.attempt.first().response.as_ref().map(|response| response.status)
}

/// Whether any hop of the path shows another Host than the first.
fn host_changed(alert: &Alert) -> bool {
    let mut hosts = alert.attempt.path().filter_map(|hop| hop.request.as_ref()?.field("Host"));
    let first = hosts.next();
    first.is_some() && hosts.any(|host| Some(host) != first)
}

/// Whether the redirect leads to the same path with a slash at its end.
fn adds_slash(alert: &Alert) -> bool {
    let hop = alert.attempt.first();
    let (Some(request), Some(response)) = (&hop.request, &hop.response) else { return false };
    let location = response.field("Location").map(field::path);
    location.is_some_and(|location| {
        let place =
            location.split_once("://").map_or(location, |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
        place.strip_suffix('/') == Some(field::path(&request.target))
    })
}

/// Whether an endpoint is that of a proxy: it accepted one hop of the path and another follows.
fn is_proxy(alert: &Alert, by: &Endpoint) -> bool {
    let hops: Vec<_> = alert.attempt.path().collect();
    hops.windows(2).any(|pair| pair[0].server == *by || pair[1].client == *by)
}
