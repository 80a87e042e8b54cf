//! `lifetime-close`: a proxy ended three or more tunnels at the same age though they were in use.

use super::{
    super::{
        Config,
        alert::{Alert, Details, Level, RuleId},
        attempt::Ended,
        event::{ClosedBy, Endpoint},
    },
    alert, call, path, product_at,
};

/// Tunnels of one age that prove a limit: two may be chance.
const SEVERAL: usize = 3;

pub(super) fn check(ended: &Ended, config: &Config) -> Option<Alert> {
    let tunnel = &ended.tunnel;
    let by = Endpoint::Ip(ended.by.filter(|_| tunnel.closed_by == ClosedBy::Proxy)?.address());
    if ended.alike < SEVERAL || tunnel.idle >= config.idle_min {
        return None;
    }
    let age = tunnel.ended_at.since(tunnel.opened_at);
    let product = product_at(&tunnel.attempt, &by);
    let message = format!(
        "{} closed the tunnel of {} {:.1} s after its 101, though it was in use, as it did with {} others at that age.",
        call(product.as_ref(), &by),
        path(&tunnel.attempt),
        age.as_secs_f64(),
        ended.alike - 1
    );
    let details = Details::LifetimeClose { by, age, tunnels: ended.alike };
    let alert = alert(RuleId::LifetimeClose, Level::Warning, tunnel.ended_at, &tunnel.attempt, message, details);
    Some(Alert { product, ..alert })
}
