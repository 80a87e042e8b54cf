//! IIS with Application Request Routing.

use super::{ProductName, Profile, mark, timer};

pub(super) const PROFILE: Profile = Profile {
    servers: &["microsoft-iis"],
    sends: &[mark(&["X-ARR-LOG-ID"]), mark(&["X-ARR-SSL"])],
    pages: &["Web server received an invalid response while acting as a gateway or proxy server"],
    timers: &[timer("connectionTimeout", 120)],
    ..Profile::of(ProductName::Iis)
};
