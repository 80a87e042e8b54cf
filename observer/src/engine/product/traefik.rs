//! Traefik. It names its host in X-Forwarded-Server, but never itself.

use super::{ProductName, Profile, Spelling, mark, timer};

pub(super) const PROFILE: Profile = Profile {
    sends: &[mark(&["X-Forwarded-Port", "X-Forwarded-Server", "X-Real-Ip"])],
    processes: &["traefik"],
    spelling: Spelling::Go,
    timers: &[timer("respondingTimeouts.idleTimeout", 180)],
    ..Profile::of(ProductName::Traefik)
};
