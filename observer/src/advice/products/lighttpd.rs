//! lighttpd with mod_proxy.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const MANUAL: Manual =
    Manual { fix, reload: "lighttpd -tt -f /etc/lighttpd/lighttpd.conf && systemctl reload lighttpd" };

fn fix(need: Need, site: &Site) -> Option<Advice> {
    let (place, path) = (site.place(), site.path());
    let origin = site.origin();
    let (host, port) = origin.rsplit_once(':').unwrap_or((&origin, "80"));
    let server = format!(
        "$HTTP[\"url\"] =^ \"{path}\" {{\n    proxy.server = ( \"\" => (( \"host\" => \"{host}\", \"port\" => {port} )) )\n    \
         proxy.header = ( \"upgrade\" => \"enable\" )\n}}"
    );
    match need {
        Need::Forward => advice(
            format!("For {place}. Before 1.4.46 lighttpd cannot forward upgrades: use a newer one, or another proxy."),
            server,
        ),
        Need::Token if site.is_websocket() => advice(format!("For {place}:"), server),
        Need::Token => advice("lighttpd forwards upgrades to websocket only: use another proxy for this token.", ""),
        Need::Route => advice(format!("No proxy.server takes {place}.{}", site.adapt()), server),
        Need::Origin => advice(site.unreached(), server),
        _ => None,
    }
}
