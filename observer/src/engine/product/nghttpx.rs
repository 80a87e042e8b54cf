//! nghttpx, the proxy of nghttp2.

use super::{ProductName, Profile, timer};

pub(super) const PROFILE: Profile = Profile {
    servers: &["nghttpx"],
    replaces_server: true,
    via: &["nghttpx"],
    processes: &["nghttpx"],
    pages: &["<footer>nghttpx"],
    timers: &[timer("backend-read-timeout", 60)],
    ..Profile::of(ProductName::Nghttpx)
};
