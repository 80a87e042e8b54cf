//! lighttpd with mod_proxy. It passes the origin's Server on, and writes its own where there is none.

use super::{ProductName, Profile, mark};

pub(super) const PROFILE: Profile = Profile {
    servers: &["lighttpd"],
    sends: &[mark(&["X-Host", "X-Forwarded-Proto"]), mark(&["X-Forwarded-Proto", "X-Host"])],
    processes: &["lighttpd"],
    ..Profile::of(ProductName::Lighttpd)
};
