//! Kong: OpenResty that forwards upgrades without being told, configured through services and routes.

use super::{ProductName, Profile, timer};

pub(super) const PROFILE: Profile = Profile {
    servers: &["kong"],
    via: &["kong"],
    answers: &["X-Kong-Upstream-Latency", "X-Kong-Proxy-Latency", "X-Kong-Response-Latency"],
    // A process is nginx until its fields say more.
    processes: &["nginx"],
    pages: &["no Route matched with those values"],
    timers: &[timer("read_timeout of the service", 60)],
    ..Profile::of(ProductName::Kong)
};
