//! Proxies that are libraries: http-proxy for Node.js, `ReverseProxy` of Go.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const NODE: Manual = Manual { fix: node, reload: "restart the program" };
pub(super) const GO: Manual = Manual { fix: go, reload: "build and restart the program" };

fn node(need: Need, site: &Site) -> Option<Advice> {
    let (path, origin) = (site.path(), site.origin());
    let vite = |target: &str, options: &str| {
        format!(
            "// vite.config.js; http-proxy-middleware and webpack-dev-server take the same options\nserver: {{\n  proxy: {{\n    \
             '{path}': {{ target: '{target}://{origin}', ws: true{options} }},\n  }},\n}},"
        )
    };
    match need {
        Need::Forward | Need::Token => advice(
            "http-proxy forwards upgrades where `ws` is true; without a framework, hand it the server's upgrade events: \
             server.on('upgrade', (req, socket, head) => proxy.ws(req, socket, head)).",
            vite("http", ""),
        ),
        Need::Route => {
            advice(format!("No entry of the proxy table takes {}.{}", site.place(), site.adapt()), vite("http", ""))
        }
        Need::Origin => advice(site.unreached(), vite("http", "")),
        Need::Host => advice(site.host_changed(), vite("http", ", changeOrigin: false")),
        Need::TlsOrigin => advice(format!("The port {origin} speaks TLS: say https."), vite("https", "")),
        Need::PlainOrigin => advice(format!("The port {origin} does not speak TLS: say http."), vite("http", "")),
        Need::Twice => advice(
            "Each proxy with `ws: true` listens to the server's upgrade events and forwards every one. Switch that off and \
             hand each upgrade to one of them, by its path:",
            format!(
                "server.on('upgrade', (req, socket, head) => {{\n  if (req.url.startsWith('{path}')) wsProxy.upgrade(req, socket, head);\n  \
                 else socket.destroy();\n}});"
            ),
        ),
        _ => None,
    }
}

fn go(need: Need, site: &Site) -> Option<Advice> {
    match need {
        Need::Forward | Need::Injected | Need::Token => advice(
            format!(
                "ReverseProxy forwards upgrades since Go 1.12: look for code (Director, Rewrite, a middleware or a \
                 ResponseWriter that cannot be hijacked) on the way of {} that touches Upgrade or Connection.",
                site.place()
            ),
            "",
        ),
        Need::Origin => advice(site.unreached(), ""),
        _ => None,
    }
}
