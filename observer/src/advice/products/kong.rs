//! Kong.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const MANUAL: Manual = Manual { fix, reload: "deck gateway sync kong.yaml, or kong reload" };

fn fix(need: Need, site: &Site) -> Option<Advice> {
    let service = |more: &str| {
        format!(
            "services:\n- name: origin\n  url: http://{}\n{more}  routes:\n  - name: ws\n    paths: [\"{}\"]\n    strip_path: false",
            site.origin(),
            site.path()
        )
    };
    match need {
        Need::Forward | Need::Token | Need::Injected => advice(
            format!(
                "Kong forwards upgrades by default: look for a plugin that changes request fields on the route of {}.",
                site.place()
            ),
            "",
        ),
        Need::Route => advice(format!("No route takes {}.{}", site.place(), site.adapt()), service("")),
        Need::Origin => advice(site.unreached(), service("")),
        Need::Idle => advice(site.idle(""), service("  read_timeout: 3600000\n  write_timeout: 3600000\n")),
        _ => None,
    }
}
