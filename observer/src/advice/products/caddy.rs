//! Caddy.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const MANUAL: Manual = Manual { fix, reload: "caddy reload --config /etc/caddy/Caddyfile" };

fn fix(need: Need, site: &Site) -> Option<Advice> {
    let (place, origin) = (site.place(), site.origin());
    match need {
        Need::Forward | Need::Injected => advice(
            format!(
                "Caddy forwards upgrades by default: look for header_up lines that touch Upgrade or Connection where \
                 {place} is proxied, and remove them. This is all it takes:"
            ),
            block(site, "", &[]),
        ),
        Need::Token => advice("Caddy forwards every upgrade by default. This is all it takes:", block(site, "", &[])),
        Need::Route => {
            advice(format!("No reverse_proxy sends {place} to an origin.{}", site.adapt()), block(site, "", &[]))
        }
        Need::Origin => advice(site.unreached(), block(site, "", &[])),
        Need::TlsOrigin => advice(format!("The port {origin} speaks TLS: say https."), block(site, "https://", &[])),
        Need::PlainOrigin => {
            advice(format!("The port {origin} does not speak TLS: say http."), block(site, "http://", &[]))
        }
        Need::Http1Origin => advice(
            "An upgrade over HTTP/2 takes an origin with RFC 8441: use HTTP/1.1 to this one.",
            block(site, "", &["transport http {", "    versions 1.1", "}"]),
        ),
        Need::Sticky => {
            advice("Keep a client at the origin that knows its session:", block(site, "", &["lb_policy ip_hash"]))
        }
        Need::Reload => advice(
            "If this was a reload: let tunnels outlive it. Caddy knows this line since 2.7.",
            block(site, "", &["stream_close_delay 1h"]),
        ),
        Need::Lifetime => {
            advice("stream_timeout in reverse_proxy ends each tunnel at that age, in use or not: remove it.", "")
        }
        // It has no idle timer for tunnels.
        _ => None,
    }
}

fn block(site: &Site, scheme: &str, lines: &[&str]) -> String {
    let host = site.host.as_deref().unwrap_or("example.test");
    let mut text = format!("{host} {{\n    reverse_proxy {}* {scheme}{}", site.path(), site.origin());
    if !lines.is_empty() {
        text.push_str(" {\n");
        lines.iter().for_each(|line| text.push_str(&format!("        {line}\n")));
        text.push_str("    }");
    }
    text + "\n}"
}
