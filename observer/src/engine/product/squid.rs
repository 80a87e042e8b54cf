//! Squid.

use super::{ProductName, Profile, timer};

pub(super) const PROFILE: Profile = Profile {
    servers: &["squid"],
    via: &["squid"],
    answers: &["X-Squid-Error"],
    processes: &["squid", "squid3"],
    pages: &["(squid/"],
    timers: &[timer("read_timeout", 900)],
    ..Profile::of(ProductName::Squid)
};
