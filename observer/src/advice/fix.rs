//! The fix for one alert: by rule and cause, product and version. None is given where none would be honest.

use super::snippet;
use crate::engine::{
    alert::{Alert, AnsweredBy, Cause, Details, Sent, TimerAt},
    event::{Endpoint, Fields, HttpVersion, ProductName, Role},
};

/// What mends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fix {
    /// The product that the snippet is for.
    pub product: &'static str,
    /// Its version where the capture shows it.
    pub version: Option<String>,
    /// Where to put the snippet and what to watch for. May hold a path from the wire.
    pub text: String,
    /// Configuration to paste, over several lines. Holds nothing from the wire.
    pub snippet: String,
}

/// A text and a snippet; who they are for is known elsewhere.
type Advice = Option<(String, &'static str)>;

/// The fix for this alert, where there is an honest one. For a product that the capture does not show it is nginx's.
#[must_use]
pub fn fix(alert: &Alert) -> Option<Fix> {
    let known = alert.product.as_ref();
    let proxy = Proxy {
        name: known.map_or(ProductName::Nginx, |product| product.name),
        version: known.and_then(|product| product.version.as_deref()),
    };
    let (mut text, snippet) = advice(alert, &proxy)?;
    if known.is_none() {
        let rule = alert.rule;
        let unknown = "The capture does not show the product: this is for nginx,";
        text = format!("{unknown} `observer explain {rule}` has the others. {text}");
    }
    Some(Fix {
        product: proxy.name.as_str(),
        version: proxy.version.map(str::to_owned),
        text,
        snippet: snippet.to_owned(),
    })
}

fn advice(alert: &Alert, proxy: &Proxy<'_>) -> Advice {
    let place = place(alert);
    match &alert.details {
        Details::HeadersDropped { sent, .. } => forward(alert, proxy, &place, Some(sent)),
        Details::Http10 { .. } => version(proxy, &place),
        Details::Injected { .. } => injected(proxy, &place),
        Details::Negotiation { field, by, .. } if is_proxy(alert, by) => negotiation(proxy, field, &place),
        Details::Missing101 { cause, answered_by, by, .. } => {
            missing(alert, proxy, &place, *cause, *answered_by, by.as_ref())
        }
        Details::IdleClose { at: TimerAt::InFront, .. } => None,
        Details::IdleClose { idle, heartbeat, .. } => idle_close(proxy, &place, idle.as_secs_f64(), *heartbeat),
        Details::MassClose { .. } => mass_close(proxy),
        // The origin's library, the client, or chance: no line of a proxy's configuration.
        Details::Negotiation { .. }
        | Details::Accept { .. }
        | Details::Broken { .. }
        | Details::LifetimeClose { .. }
        | Details::ErrorClose { .. }
        | Details::AbruptClose { .. }
        | Details::PollingFallback { .. } => None,
    }
}

/// The proxy to mend.
struct Proxy<'a> {
    name: ProductName,
    version: Option<&'a str>,
}

impl Proxy<'_> {
    /// Whether its version is known to be at least this one.
    fn is_at_least(&self, wanted: [u32; 3]) -> Option<bool> {
        let mut parts = self.version?.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        Some([parts.next()?, parts.next().unwrap_or(0), parts.next().unwrap_or(0)] >= wanted)
    }

    /// nginx speaks HTTP/1.1 upstream by default since 1.29.7.
    fn speaks_http11(&self) -> Option<bool> {
        self.is_at_least([1, 29, 7])
    }
}

/// The upgrade fields, and HTTP/1.1 where that is not the default.
fn forward(alert: &Alert, proxy: &Proxy<'_>, place: &str, sent: Option<&Sent>) -> Advice {
    Some(match proxy.name {
        ProductName::Nginx => nginx_forward(proxy, place, sent),
        ProductName::Apache => apache_forward(alert, proxy, place),
        ProductName::HaProxy => (
            format!(
                "HAProxy forwards upgrades by default: look for http-request lines (del-header, set-header, \
                 replace-header) that touch Upgrade or Connection on the way of {place}, and remove them. This is all it takes:"
            ),
            snippet::HAPROXY_BACKEND,
        ),
        ProductName::Caddy => (
            format!(
                "Caddy forwards WebSocket upgrades by default: look for header_up lines that touch Upgrade or Connection where \
                 {place} is proxied, and remove them. This is all it takes:"
            ),
            snippet::CADDY_PROXY,
        ),
        ProductName::Envoy => {
            ("Envoy forwards only the upgrades that it is told of.".to_owned(), snippet::ENVOY_UPGRADE)
        }
        ProductName::Traefik => (
            format!(
                "Traefik forwards upgrades by default: look for a headers middleware with customRequestHeaders for \
                 Upgrade or Connection on the way of {place}, and remove it. This is all it takes:"
            ),
            snippet::TRAEFIK_ROUTER,
        ),
        _ => return None,
    })
}

fn nginx_forward(proxy: &Proxy<'_>, place: &str, sent: Option<&Sent>) -> (String, &'static str) {
    let mut text = format!(
        "In the location that serves {place}. One proxy_set_header there drops all those inherited from server and \
         http: repeat what you need of them, such as Host."
    );
    if sent.is_some_and(|sent| sent.upgrade.is_some()) {
        text.push_str(" Upgrade was sent: its value must be $http_upgrade, and Connection must go with it.");
    }
    // A version line that says 1.0 must go, even where 1.1 is the default.
    let default = sent.is_none_or(|sent| sent.version == HttpVersion::Http11);
    let short = default && proxy.speaks_http11() == Some(true);
    (text, if short { snippet::NGINX_UPGRADE } else { snippet::NGINX_UPGRADE_OLD })
}

fn apache_forward(alert: &Alert, proxy: &Proxy<'_>, place: &str) -> (String, &'static str) {
    let websocket = alert.attempt.upgrade.is_empty() || alert.attempt.upgrade.eq_ignore_ascii_case("websocket");
    let snippet = if websocket { snippet::APACHE_UPGRADE } else { snippet::APACHE_UPGRADE_ANY };
    let old = proxy.is_at_least([2, 4, 47]) == Some(false);
    let since = if old { " This needs Apache 2.4.47; before it, a ws:// address with mod_proxy_wstunnel." } else { "" };
    (format!("Put this line for {place} before broader ProxyPass lines.{since}"), snippet)
}

/// HTTP/1.1 upstream.
fn version(proxy: &Proxy<'_>, place: &str) -> Advice {
    Some(match proxy.name {
        ProductName::Nginx if proxy.speaks_http11() == Some(true) => (
            format!(
                "nginx speaks HTTP/1.1 upstream by default since 1.29.7: look for proxy_http_version 1.0 on the way \
                 of {place}."
            ),
            snippet::NGINX_VERSION,
        ),
        ProductName::Nginx => (
            format!("In the location that serves {place}: before nginx 1.29.7 the default is 1.0."),
            snippet::NGINX_VERSION,
        ),
        ProductName::Apache => (
            format!("Look for force-proxy-request-1.0 on the way of {place}: Apache speaks HTTP/1.1 without it."),
            snippet::APACHE_VERSION,
        ),
        _ => return None,
    })
}

/// The fields by condition instead of always.
fn injected(proxy: &Proxy<'_>, place: &str) -> Advice {
    let remove = |what: &str| {
        format!("Remove the {what} that sets Upgrade for {place}: the client's own upgrades pass without it.")
    };
    Some(match proxy.name {
        ProductName::Nginx => (
            format!("For {place}, take the value from the client instead of a fixed \"websocket\"."),
            if proxy.speaks_http11() == Some(true) { snippet::NGINX_UPGRADE } else { snippet::NGINX_UPGRADE_OLD },
        ),
        ProductName::Apache => (remove("RequestHeader line") + " upgrade= is all it takes:", snippet::APACHE_UPGRADE),
        ProductName::HaProxy => (remove("http-request set-header line"), snippet::HAPROXY_BACKEND),
        ProductName::Caddy => (remove("header_up line"), snippet::CADDY_PROXY),
        ProductName::Traefik => (remove("customRequestHeaders entry"), snippet::TRAEFIK_ROUTER),
        _ => return None,
    })
}

fn negotiation(proxy: &Proxy<'_>, field: &str, place: &str) -> Advice {
    match proxy.name {
        ProductName::Nginx => Some((
            format!(
                "nginx passes {field} on unless told otherwise: look for proxy_set_header and proxy_hide_header lines \
                 that name it on the way of {place}."
            ),
            snippet::NGINX_NEGOTIATION,
        )),
        _ => None,
    }
}

fn missing(
    alert: &Alert,
    proxy: &Proxy<'_>,
    place: &str,
    cause: Cause,
    answered_by: AnsweredBy,
    by: Option<&Endpoint>,
) -> Advice {
    match cause {
        Cause::HeadersDropped => forward(alert, proxy, place, None),
        Cause::Http10 => version(proxy, place),
        Cause::NotForwarded | Cause::Redirected if answered_by == AnsweredBy::Proxy && adds_slash(alert) => Some((
            format!(
                "The redirect adds a slash, which browsers do not follow. Serve {place} itself, with a location \
                 without the slash at its end, or have the client ask for the path with it."
            ),
            snippet::NGINX_LOCATION,
        ))
        .filter(|_| proxy.name == ProductName::Nginx),
        Cause::NotForwarded if proxy.name == ProductName::HaProxy && status(alert) == Some(403) => Some((
            format!(
                "HAProxy answers 403 by itself where an http-request deny line matches: look for one that {place} meets."
            ),
            snippet::HAPROXY_ALLOW,
        )),
        Cause::NotForwarded => route(alert, proxy, place),
        Cause::Redirected if answered_by == AnsweredBy::Proxy => route(alert, proxy, place),
        Cause::UpstreamRefused | Cause::UpstreamUnreachable => origin(alert, proxy, by),
        Cause::OriginRejected if status(alert) == Some(403) && host_changed(alert) => host(proxy, place),
        // The origin, the client or its credentials: no line of the proxy's configuration.
        _ => None,
    }
}

/// A route for the path.
fn route(alert: &Alert, proxy: &Proxy<'_>, place: &str) -> Advice {
    match status(alert) {
        // Whoever is limited or denied has a route.
        Some(429 | 503) if proxy.name == ProductName::Nginx => {
            return Some((
                format!(
                    "nginx answers so by itself where limit_req or limit_conn says so; its error log names the zone. \
                     Give {place} more room:"
                ),
                snippet::NGINX_LIMIT,
            ));
        }
        Some(401 | 403 | 407 | 429 | 500..=599) => return None,
        Some(300..=399) if proxy.name == ProductName::Nginx => {
            let text = format!(
                "A return or rewrite line redirects {place}: proxy it before that line, in a location of its own:"
            );
            return Some((text, snippet::NGINX_LOCATION));
        }
        _ => {}
    }
    let text = |what: &str| format!("No {what} sends {place} to an origin. Adapt path, host and address:");
    Some(match proxy.name {
        ProductName::Nginx => (
            text("location of the server that answered")
                + " (the map for $connection_upgrade is in `observer explain upgrade-headers-dropped`)",
            snippet::NGINX_LOCATION,
        ),
        ProductName::Apache => (text("ProxyPass"), snippet::APACHE_UPGRADE),
        ProductName::HaProxy => (text("use_backend"), snippet::HAPROXY_ROUTE),
        ProductName::Caddy => (text("reverse_proxy"), snippet::CADDY_PROXY),
        ProductName::Traefik => (text("router"), snippet::TRAEFIK_ROUTER),
        ProductName::Envoy => (
            format!(
                "Envoy answers an upgrade by itself when it is not told to forward it. Check the route of {place} too."
            ),
            snippet::ENVOY_UPGRADE,
        ),
        _ => return None,
    })
}

/// Nobody listens there.
fn origin(alert: &Alert, proxy: &Proxy<'_>, by: Option<&Endpoint>) -> Advice {
    let last = alert.attempt.path().last().filter(|hop| hop.role == Role::Upstream).map(|hop| &hop.server);
    let at = match by.or(last) {
        Some(endpoint) => format!(" to {endpoint}"),
        None => String::new(),
    };
    let text = match alert.details {
        Details::Missing101 { cause: Cause::UpstreamUnreachable, .. } => {
            format!(
                "Look for a firewall, a missing route or a host that is down{at}, or correct the address: nothing answered."
            )
        }
        _ => format!("Start the origin, or correct its address: no connection{at} could be made."),
    };
    Some(match proxy.name {
        ProductName::Nginx => (text, snippet::NGINX_ORIGIN),
        ProductName::Apache => (text, snippet::APACHE_UPGRADE),
        ProductName::HaProxy => (text, snippet::HAPROXY_BACKEND),
        ProductName::Caddy => (text, snippet::CADDY_PROXY),
        ProductName::Traefik => (text, snippet::TRAEFIK_ROUTER),
        _ => return None,
    })
}

/// Origins compare Origin with Host; the others pass Host on by default.
fn host(proxy: &Proxy<'_>, place: &str) -> Advice {
    let text = format!(
        "The origin saw another Host than the client sent; many compare it with Origin and answer 403. For {place}:"
    );
    match proxy.name {
        ProductName::Nginx => Some((text, snippet::NGINX_HOST)),
        ProductName::Apache => Some((text, snippet::APACHE_HOST)),
        _ => None,
    }
}

fn idle_close(proxy: &Proxy<'_>, place: &str, idle: f64, heartbeat: bool) -> Advice {
    let often = if idle >= 2.0 { format!("every {:.0} s", (idle / 2.0).floor()) } else { "every second".to_owned() };
    let beats = if heartbeat {
        format!("Pings were seen, but not in that time: send one {often}, always. Or raise the timer for {place}:")
    } else {
        format!("Send a WebSocket ping {often} from either end, which is best. Or raise the timer for {place}:")
    };
    Some(match proxy.name {
        ProductName::Nginx => (beats, snippet::NGINX_IDLE),
        ProductName::HaProxy => (beats, snippet::HAPROXY_IDLE),
        ProductName::Apache => (beats, snippet::APACHE_IDLE),
        ProductName::Envoy => (beats + " (the default is 5 minutes)", snippet::ENVOY_IDLE),
        ProductName::Traefik => (beats + " (idleTimeout is reported to end WebSockets too)", snippet::TRAEFIK_IDLE),
        // Caddy has no idle timer for tunnels.
        _ => return None,
    })
}

fn mass_close(proxy: &Proxy<'_>) -> Advice {
    match proxy.name {
        ProductName::Nginx => Some((
            "If this was a reload: give old workers more time, or remove the line to let tunnels live on. A restart \
             closes them all; clients must reconnect in either case."
                .to_owned(),
            snippet::NGINX_SHUTDOWN,
        )),
        ProductName::Caddy => Some((
            "If this was a reload: let tunnels outlive it. Caddy knows this line since 2.7.".to_owned(),
            snippet::CADDY_DELAY,
        )),
        _ => None,
    }
}

/// The path to speak of: without its query, and only when it is short and plain.
fn place(alert: &Alert) -> String {
    let hop = alert.attempt.first();
    let path = hop.request.as_ref().and_then(|request| request.target.split(['?', '#', ';']).next()).unwrap_or("");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.' | '~');
    if path.starts_with('/') && path.len() <= 60 && path.chars().all(plain) {
        path.to_owned()
    } else {
        "this path".to_owned()
    }
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
    let path = request.target.split('?').next().unwrap_or("");
    let location = response.field("Location").and_then(|location| location.split('?').next());
    location.is_some_and(|location| {
        let place =
            location.split_once("://").map_or(location, |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
        place.strip_suffix('/') == Some(path)
    })
}

/// Whether an endpoint is that of a proxy: it accepted one hop of the path and another follows.
fn is_proxy(alert: &Alert, by: &Endpoint) -> bool {
    let hops: Vec<_> = alert.attempt.path().collect();
    hops.windows(2).any(|pair| pair[0].server == *by || pair[1].client == *by)
}
