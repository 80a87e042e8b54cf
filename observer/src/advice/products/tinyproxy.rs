//! tinyproxy.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const MANUAL: Manual = Manual { fix, reload: "systemctl restart tinyproxy" };

fn fix(need: Need, site: &Site) -> Option<Advice> {
    match need {
        Need::Forward | Need::Token | Need::Version => advice(
            "tinyproxy cannot forward upgrades: use another proxy, or wss://, which clients tunnel through CONNECT.",
            "",
        ),
        Need::Idle => advice(site.idle(" The default is 10 minutes."), "Timeout 3600"),
        _ => None,
    }
}
