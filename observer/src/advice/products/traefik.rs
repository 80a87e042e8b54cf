//! Traefik.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const MANUAL: Manual =
    Manual { fix, reload: "nothing for the dynamic configuration; systemctl restart traefik for the static one" };

fn fix(need: Need, site: &Site) -> Option<Advice> {
    let place = site.place();
    match need {
        Need::Forward | Need::Injected => advice(
            format!(
                "Traefik forwards upgrades by default: look for a headers middleware with customRequestHeaders for \
                 Upgrade or Connection on the way of {place}, and remove it. This is all it takes:"
            ),
            router(site, "http"),
        ),
        Need::Token => advice("Traefik forwards every upgrade by default. This is all it takes:", router(site, "http")),
        Need::Route => advice(format!("No router sends {place} to an origin.{}", site.adapt()), router(site, "http")),
        Need::Origin => advice(site.unreached(), router(site, "http")),
        Need::TlsOrigin => advice(format!("The port {} speaks TLS: say https.", site.origin()), router(site, "https")),
        Need::PlainOrigin => {
            advice(format!("The port {} does not speak TLS: say http.", site.origin()), router(site, "http"))
        }
        Need::Sticky => advice(
            "Keep a client at the origin that knows its session:",
            "http:\n  services:\n    origin:\n      loadBalancer:\n        sticky:\n          cookie: {}",
        ),
        Need::Idle => advice(
            site.idle(" idleTimeout is reported to end WebSockets too."),
            "\
# in the static configuration
entryPoints:
  web:
    transport:
      respondingTimeouts:
        idleTimeout: 1h",
        ),
        _ => None,
    }
}

fn router(site: &Site, scheme: &str) -> String {
    format!(
        "\
http:
  routers:
    ws:
      rule: \"PathPrefix(`{}`)\"
      service: origin
  services:
    origin:
      loadBalancer:
        servers:
        - url: \"{scheme}://{}\"",
        site.path(),
        site.origin()
    )
}
