//! Apache httpd.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const MANUAL: Manual = Manual { fix, reload: "apachectl configtest && apachectl graceful" };

fn fix(need: Need, site: &Site) -> Option<Advice> {
    let (place, path, origin) = (site.place(), site.path(), site.origin());
    match need {
        Need::Forward | Need::Token => {
            let old = site.is_at_least([2, 4, 47]) == Some(false);
            let since =
                if old { " This needs Apache 2.4.47; before it, a ws:// address with mod_proxy_wstunnel." } else { "" };
            advice(format!("Put this line for {place} before broader ProxyPass lines.{since}"), pass(site, "http"))
        }
        Need::Version => advice(
            format!("Look for force-proxy-request-1.0 on the way of {place}: Apache speaks HTTP/1.1 without it."),
            "# in the virtual host; and remove SetEnv lines that set it\nUnsetEnv force-proxy-request-1.0",
        ),
        Need::Injected => advice(
            format!("Remove the RequestHeader line that sets Upgrade for {place}: upgrade= is all it takes:"),
            pass(site, "http"),
        ),
        Need::Route => advice(format!("No ProxyPass sends {place} to an origin.{}", site.adapt()), pass(site, "http")),
        Need::Origin => advice(site.unreached(), pass(site, "http")),
        Need::Host => advice(site.host_changed(), "# in the virtual host\nProxyPreserveHost On"),
        Need::Doubled => {
            advice("Use set instead of add:", "# in the virtual host\nRequestHeader set X-Forwarded-Proto http")
        }
        Need::Query => advice(
            "A RewriteRule with a query of its own drops the client's: add QSA.",
            format!(
                "# in the virtual host\nRewriteEngine On\nRewriteRule \"^{path}$\" \"http://{origin}{}\" [P,QSA]",
                site.upstream_path()
            ),
        ),
        Need::TlsOrigin => advice(
            format!("The port {origin} speaks TLS: say https."),
            format!("{}\nSSLProxyEngine On", pass(site, "https")),
        ),
        Need::PlainOrigin => advice(format!("The port {origin} does not speak TLS: say http."), pass(site, "http")),
        Need::Head => advice(
            "A field of the client is larger than Apache takes:",
            "# in the virtual host\nLimitRequestFieldSize 32768\nLimitRequestLine 32768",
        ),
        Need::Stale => advice(
            "Apache looks a name up once for each worker: reload it, or do not keep connections.",
            format!(
                "# in the virtual host\nProxyPass \"{path}\" \"http://{origin}{}\" upgrade={} disablereuse=on",
                site.upstream_path(),
                token(site)
            ),
        ),
        Need::NoLive => advice(
            "After a failed connection Apache tries an origin again only after retry= (60 s): starting the origin helps \
             only after that.",
            format!(
                "# in the virtual host\nProxyPass \"{path}\" \"http://{origin}{}\" upgrade={} retry=0",
                site.upstream_path(),
                token(site)
            ),
        ),
        Need::Idle => {
            advice(site.idle(""), "# in the virtual host; ProxyTimeout changes nothing for a tunnel\nTimeout 3600")
        }
        Need::Hidden => advice("Look for a `Header unset` line that names the field, and remove it.", ""),
        _ => None,
    }
}

/// The token that it is told to forward.
fn token(site: &Site) -> &str {
    if site.is_websocket() { "websocket" } else { "ANY" }
}

fn pass(site: &Site, scheme: &str) -> String {
    format!(
        "# in the virtual host\nProxyPass \"{}\" \"{scheme}://{}{}\" upgrade={}",
        site.path(),
        site.origin(),
        site.upstream_path(),
        token(site)
    )
}
