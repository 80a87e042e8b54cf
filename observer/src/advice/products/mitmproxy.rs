//! mitmproxy.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const MANUAL: Manual = Manual { fix, reload: "stop it and start it again" };

fn fix(need: Need, site: &Site) -> Option<Advice> {
    match need {
        Need::Forward | Need::Token if site.is_websocket() => advice(
            "mitmproxy forwards WebSocket upgrades unless that was switched off:",
            format!("mitmdump --mode reverse:http://{} --set websocket=true", site.origin()),
        ),
        Need::Forward | Need::Token => {
            advice("mitmproxy cannot forward upgrades to other protocols than websocket: use another proxy.", "")
        }
        _ => None,
    }
}
