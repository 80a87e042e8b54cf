//! IIS with Application Request Routing.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const MANUAL: Manual = Manual { fix, reload: "iisreset" };

fn fix(need: Need, site: &Site) -> Option<Advice> {
    match need {
        Need::Forward | Need::Token if site.is_websocket() => advice(
            "IIS forwards WebSockets with ARR 3.0 and the WebSocket Protocol feature installed:",
            "Install-WindowsFeature -Name Web-WebSockets",
        ),
        Need::Forward | Need::Token => {
            advice("IIS forwards upgrades to websocket only: use another proxy for this token.", "")
        }
        Need::Idle => advice(
            site.idle(" The default is 2 minutes."),
            "appcmd.exe set config -section:system.webServer/proxy /timeout:\"01:00:00\" /commit:apphost",
        ),
        _ => None,
    }
}
