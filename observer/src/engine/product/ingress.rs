//! The nginx ingress controllers of Kubernetes: nginx with fields of its own, configured by annotations.

use super::{ProductName, Profile, mark, timer};

pub(super) const PROFILE: Profile = Profile {
    sends: &[mark(&["X-Forwarded-Scheme", "X-Scheme"])],
    // A process is nginx until its fields say more.
    processes: &["nginx"],
    timers: &[timer("proxy-read-timeout", 60)],
    ..Profile::of(ProductName::Ingress)
};
