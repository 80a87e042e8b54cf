//! Varnish Cache.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const MANUAL: Manual = Manual { fix, reload: "varnishreload" };

fn fix(need: Need, site: &Site) -> Option<Advice> {
    let place = site.place();
    match need {
        Need::Forward | Need::Token | Need::Route => advice(
            format!(
                "Varnish forwards an upgrade only in pipe mode, and only with its fields copied there. For {place}:"
            ),
            format!(
                "\
sub vcl_recv {{
    if (req.http.upgrade ~ \"(?i){}\") {{
        return (pipe);
    }}
}}
sub vcl_pipe {{
    if (req.http.upgrade) {{
        set bereq.http.upgrade = req.http.upgrade;
        set bereq.http.connection = req.http.connection;
    }}
}}",
                site.token()
            ),
        ),
        Need::Origin => {
            let origin = site.origin();
            let (host, port) = origin.rsplit_once(':').unwrap_or((&origin, "80"));
            let host = host.trim_matches(['[', ']']);
            advice(
                site.unreached(),
                format!("backend default {{\n    .host = \"{host}\";\n    .port = \"{port}\";\n}}"),
            )
        }
        Need::Idle => advice(
            site.idle(" pipe_timeout is 60 s by default; set it in the unit of varnishd too (-p pipe_timeout=3600)."),
            "varnishadm param.set pipe_timeout 3600",
        ),
        _ => None,
    }
}
