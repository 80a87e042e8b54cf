//! Varnish Cache.

use super::{ProductName, Profile, mark, timer};

pub(super) const PROFILE: Profile = Profile {
    tried: true,
    servers: &["varnish"],
    via: &["varnish"],
    sends: &[mark(&["X-Varnish"])],
    answers: &["X-Varnish"],
    // `cache-main` is what its child calls itself.
    processes: &["varnishd", "cache-main"],
    pages: &["Guru Meditation", "<p>XID:"],
    timers: &[timer("pipe_timeout", 60)],
    ..Profile::of(ProductName::Varnish)
};
