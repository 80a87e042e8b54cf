//! Squid.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const MANUAL: Manual = Manual { fix, reload: "squid -k parse && squid -k reconfigure" };

fn fix(need: Need, site: &Site) -> Option<Advice> {
    // The protocol's name is matched in its case.
    let name = if site.is_websocket() { "WebSocket" } else { "OTHER" };
    match need {
        Need::Forward | Need::Token => advice(
            "Squid drops Upgrade unless it is told otherwise, which it can be since version 5; before that it cannot forward \
             upgrades: use another proxy. Clients with wss:// are not concerned: they tunnel through CONNECT.",
            format!("http_upgrade_request_protocols {name} allow all"),
        ),
        Need::Idle => advice(site.idle(" The default is 15 minutes."), "read_timeout 1 hour"),
        Need::Origin => advice(site.unreached(), ""),
        _ => None,
    }
}
