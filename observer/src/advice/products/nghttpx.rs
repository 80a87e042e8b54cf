//! nghttpx.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const MANUAL: Manual = Manual { fix, reload: "kill -HUP the main process of nghttpx" };

fn fix(need: Need, site: &Site) -> Option<Advice> {
    let origin = site.origin();
    let (host, port) = origin.rsplit_once(':').unwrap_or((&origin, "80"));
    let backend = format!("backend={host},{port};/;proto=http/1.1");
    match need {
        Need::Forward | Need::Token | Need::Http1Origin => advice(
            "nghttpx forwards upgrades over HTTP/1.1; over HTTP/2 the origin must know RFC 8441. Speak HTTP/1.1 to this one:",
            backend,
        ),
        Need::Route => advice(format!("No backend takes {}.{}", site.place(), site.adapt()), backend),
        Need::Origin => advice(site.unreached(), backend),
        Need::Idle => {
            advice(site.idle(" The defaults are one minute."), "backend-read-timeout=1h\nfrontend-read-timeout=1h")
        }
        _ => None,
    }
}
