//! HAProxy.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const MANUAL: Manual =
    Manual { fix, reload: "haproxy -c -f /etc/haproxy/haproxy.cfg && systemctl reload haproxy" };

fn fix(need: Need, site: &Site) -> Option<Advice> {
    let (place, path, origin) = (site.place(), site.path(), site.origin());
    match need {
        Need::Forward | Need::Injected => advice(
            format!(
                "HAProxy forwards upgrades by default: look for http-request lines (del-header, set-header, replace-header) \
                 that touch Upgrade or Connection on the way of {place}, and remove them. This is all it takes:"
            ),
            backend(site, ""),
        ),
        Need::Token => advice(
            "HAProxy forwards every upgrade of a request without a body by default. This is all it takes:",
            backend(site, ""),
        ),
        Need::Route => advice(
            format!("No use_backend sends {place} to an origin.{}", site.adapt()),
            format!(
                "# in the frontend\nuse_backend ws if {{ path_beg {path} }}\n# at the top level\n{}",
                backend(site, "")
            ),
        ),
        Need::Denied => advice(
            format!(
                "HAProxy answers 403 by itself where an http-request deny line matches: look for the deny rule that matches {place}."
            ),
            format!("# in the frontend, before the deny line\nhttp-request allow if {{ path_beg {path} }}"),
        ),
        Need::Limited => advice(
            "HAProxy's log names the limit: maxconn of frontend or server, timeout queue, or a rate in a deny line.",
            format!("# in the backend\nserver origin {origin} maxconn 1000"),
        ),
        Need::Origin => advice(site.unreached(), backend(site, "")),
        Need::Doubled => advice(
            "Use set-header, which replaces, instead of add-header:",
            "# in the frontend\nhttp-request set-header X-Forwarded-Proto http",
        ),
        Need::Spelling => advice(
            "HAProxy writes names in lower case, which is right by HTTP. For an origin that does not take them:",
            format!(
                "\
global
    h1-case-adjust host Host
    h1-case-adjust upgrade Upgrade
    h1-case-adjust connection Connection
    h1-case-adjust sec-websocket-key Sec-WebSocket-Key
    h1-case-adjust sec-websocket-version Sec-WebSocket-Version
    h1-case-adjust sec-websocket-protocol Sec-WebSocket-Protocol
    h1-case-adjust sec-websocket-extensions Sec-WebSocket-Extensions
backend ws
    mode http
    option h1-case-adjust-bogus-server
    server origin {origin}"
            ),
        ),
        Need::ProxyLine => advice(
            "send-proxy on the server line sends a PROXY line first: remove it, or let the origin expect it.",
            backend(site, ""),
        ),
        Need::TlsOrigin => advice(
            format!("The port {origin} speaks TLS: say ssl."),
            backend(site, " ssl verify required ca-file @system-ca"),
        ),
        Need::PlainOrigin => advice(format!("The port {origin} does not speak TLS: remove ssl."), backend(site, "")),
        Need::Http1Origin => advice(
            "An upgrade over HTTP/2 takes an origin with RFC 8441: use HTTP/1.1 to this one.",
            backend(site, " proto h1"),
        ),
        Need::Sticky => {
            advice("Keep a client at the origin that knows its session:", "# in the backend\nbalance source")
        }
        Need::Head => advice("The head must fit into one buffer:", "# in global\ntune.bufsize 32768"),
        Need::Checks => advice(
            "HAProxy sends nothing to a server whose checks fail. An origin that takes upgrades only answers 426:",
            "# in the backend\noption httpchk\nhttp-check expect status 426",
        ),
        Need::Stale => advice(
            "HAProxy looks names up once, when it starts: reload it, or name resolvers on the server line.",
            "\
resolvers dns
    parse-resolv-conf
backend ws
    mode http
    server origin localhost:3000 resolvers dns init-addr libc,none",
        ),
        Need::Idle => advice(
            site.idle(" Without timeout tunnel the shorter of timeout client and timeout server counts."),
            "# in defaults\ntimeout tunnel 1h",
        ),
        Need::Reload => advice(
            "After a reload the old process keeps its tunnels, unless hard-stop-after ends it: raise that.",
            "# in global\nhard-stop-after 1h",
        ),
        Need::Hidden => advice("Look for an http-response del-header line, and remove it.", ""),
        _ => None,
    }
}

fn backend(site: &Site, options: &str) -> String {
    format!("backend ws\n    mode http\n    timeout tunnel 1h\n    server origin {}{options}", site.origin())
}
