//! nginx, Angie, OpenResty, Tengine.

use super::{Advice, Manual, Need, Site, advice};
use crate::engine::event::{Endpoint, HttpVersion};

pub(super) const MANUAL: Manual = Manual { fix, reload: "nginx -t && nginx -s reload" };

const MAP: &str = "\
# in http
map $http_upgrade $connection_upgrade {
    default upgrade;
    ''      '';
}
";

/// The version that speaks HTTP/1.1 upstream by default.
const SPEAKS_HTTP11: [u32; 3] = [1, 29, 7];

fn fix(need: Need, site: &Site) -> Option<Advice> {
    let (place, origin) = (site.place(), site.origin());
    match need {
        Need::Forward => advice(
            format!(
                "In the location that serves {place}. Any proxy_set_header in a location cancels those inherited from \
                 server and http. Repeat the ones you need, such as Host.{}",
                match site.sent.as_ref().and_then(|sent| sent.upgrade.as_ref()) {
                    Some(_) => " Upgrade was sent: its value must be $http_upgrade, and Connection must go with it.",
                    None => "",
                }
            ),
            upgrade(site),
        ),
        Need::Injected => {
            advice(format!("For {place}, take the values from the client instead of fixed ones."), upgrade(site))
        }
        Need::Token => {
            advice(format!("In the location that serves {place}: $http_upgrade is the client's token."), upgrade(site))
        }
        Need::Version | Need::Http1Origin => version(site),
        Need::Negotiation => advice(
            format!(
                "nginx passes {} on unless told otherwise: look for proxy_set_header and proxy_hide_header lines that name \
                 it on the way of {place}.",
                site.field()
            ),
            "\
# in the location, instead of a fixed value
proxy_set_header Sec-WebSocket-Protocol $http_sec_websocket_protocol;
proxy_set_header Sec-WebSocket-Extensions $http_sec_websocket_extensions;
proxy_set_header Sec-WebSocket-Version $http_sec_websocket_version;",
        ),
        Need::Route => {
            let text = match site.status {
                Some(300..=399) => format!(
                    "A return or rewrite line redirects {place}: proxy it before that line, in a location of its own."
                ),
                _ => format!("No location of the server that answered sends {place} to an origin.{}", site.adapt()),
            };
            advice(text, location(site))
        }
        Need::Slash => advice(
            format!(
                "The redirect adds a slash, which browsers do not follow. Serve {place} itself, with a location without the \
                 slash at its end, or have the client ask for the path with it.{}",
                site.adapt()
            ),
            location(site),
        ),
        Need::Limited => advice(
            format!(
                "nginx answers so by itself where limit_req or limit_conn says so; its error log names the zone. Give {place} more room:"
            ),
            "# in the location\nlimit_req zone=one burst=20 nodelay;",
        ),
        Need::Origin => advice(
            site.unreached(),
            format!("# in the location: where the origin listens\nproxy_pass http://{origin};"),
        ),
        Need::Host => advice(
            site.host_changed() + " ($host lacks the port, $http_host has it.)",
            "# in the location\nproxy_set_header Host $http_host;",
        ),
        Need::Doubled => doubled(site),
        Need::Query => advice(
            format!("A proxy_pass with variables, or a rewrite, leaves the query of {place} out: append it."),
            format!("# in the location\nproxy_pass http://{origin}$uri$is_args$args;"),
        ),
        Need::ProxyLine => proxy_line(site),
        Need::TlsOrigin => advice(
            format!("The port {origin} speaks TLS: say https."),
            format!("# in the location\nproxy_pass https://{origin};\nproxy_ssl_server_name on;"),
        ),
        Need::PlainOrigin => advice(
            format!("The port {origin} does not speak TLS: say http."),
            format!("# in the location\nproxy_pass http://{origin};"),
        ),
        Need::SideRequest => advice(
            "The auth subrequest inherits the upgrade fields of its request. Clear them:",
            "\
# in the location of auth_request
proxy_set_header Upgrade \"\";
proxy_set_header Connection \"\";
proxy_set_header Sec-WebSocket-Key \"\";
proxy_pass_request_body off;
proxy_set_header Content-Length \"\";",
        ),
        Need::Sticky => {
            advice("Keep a client at the origin that knows its session:", "# in the upstream block\nip_hash;")
        }
        Need::Head if site.status.is_some_and(|status| status < 500) => advice(
            "The client's request is larger than nginx takes:",
            "# in the server\nlarge_client_header_buffers 4 32k;",
        ),
        Need::Head => advice(
            format!("The origin's answer for {place} is larger than nginx takes. Give its head room:"),
            "# in the location\nproxy_buffer_size 16k;\nproxy_buffers 8 16k;",
        ),
        Need::NoLive => advice(
            "After refused connections nginx tries no origin for fail_timeout (10 s): starting the origin helps only after \
             that. To try it always:",
            format!("# in the upstream block\nserver {origin} max_fails=0;"),
        ),
        Need::Stale => advice(
            "nginx looks names up once, when it starts: reload it. With a variable it looks them up again; put the origin's \
             name and your resolver there.",
            "# in the location\nresolver 127.0.0.11 valid=10s;\nset $origin app.internal;\nproxy_pass http://$origin:3000;",
        ),
        Need::Idle => advice(site.idle(""), "# in the location\nproxy_read_timeout 1h;\nproxy_send_timeout 1h;"),
        Need::Reload => advice(
            "If this was a reload: raise worker_shutdown_timeout, or remove it so that old workers keep their tunnels. A \
             restart closes them all; clients must reconnect in either case.",
            "# at the top level\nworker_shutdown_timeout 1h;",
        ),
        Need::Hidden => advice(
            "A proxy_hide_header, or a module that clears fields, takes it from the answer: remove that line. nginx passes \
             the field on without it.",
            "",
        ),
        Need::Denied | Need::Spelling | Need::Checks | Need::Lifetime | Need::Twice => None,
    }
}

/// Whether its default is HTTP/1.1. A version line that says 1.0 must go, even then.
fn speaks_http11(site: &Site) -> bool {
    site.is_at_least(SPEAKS_HTTP11) == Some(true)
}

fn upgrade(site: &Site) -> String {
    let default = site.sent.as_ref().is_none_or(|sent| sent.version == HttpVersion::Http11) && speaks_http11(site);
    let version = if default { "" } else { "proxy_http_version 1.1;\n" };
    format!(
        "{MAP}# in the location\n{version}proxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection $connection_upgrade;"
    )
}

fn location(site: &Site) -> String {
    let host = if site.host.is_some() { "    proxy_set_header Host $http_host;\n" } else { "" };
    format!(
        "{MAP}# in the server\nlocation {} {{\n    proxy_pass http://{};\n    proxy_http_version 1.1;\n{host}    \
         proxy_set_header Upgrade $http_upgrade;\n    proxy_set_header Connection $connection_upgrade;\n}}",
        site.path(),
        site.origin()
    )
}

fn version(site: &Site) -> Option<Advice> {
    let text = if speaks_http11(site) {
        format!(
            "nginx speaks HTTP/1.1 upstream by default since 1.29.7: look for proxy_http_version on the way of {}.",
            site.place()
        )
    } else {
        format!("In the location that serves {}: before nginx 1.29.7 the default is 1.0.", site.place())
    };
    advice(text, "# in the location\nproxy_http_version 1.1;")
}

fn doubled(site: &Site) -> Option<Advice> {
    let text = format!(
        "Two proxy_set_header lines set the same field for {}, in one place or by an include. Keep one of each:",
        site.place()
    );
    advice(text, format!("{}\nproxy_set_header Host $http_host;", upgrade(site)))
}

/// It gets the line, or it sends it.
fn proxy_line(site: &Site) -> Option<Advice> {
    match (&site.by, &site.listener) {
        (Some(by), Some(listener)) if by != listener => advice(
            "nginx sends a PROXY line that the origin does not expect: remove it, or let the origin expect it.",
            "# in the server of stream, remove:\n# proxy_protocol on;",
        ),
        (_, listener) => {
            let port = listener.as_ref().and_then(Endpoint::address).map_or(80, |address| address.port());
            advice(
                "Whoever is in front sends a PROXY line: expect it, on a port for that sender only.",
                format!("# in the server\nlisten {port} proxy_protocol;"),
            )
        }
    }
}
