//! Apache httpd with mod_proxy.

use super::{Mark, ProductName, Profile, timer};

pub(super) const PROFILE: Profile = Profile {
    tried: true,
    servers: &["apache"],
    answer_begins: &["Date", "Server"],
    via: &["apache"],
    sends: &[Mark {
        names: &["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Server", "Connection"],
        at_end: true,
    }],
    processes: &["apache2", "httpd"],
    pages: &["<address>Apache"],
    timers: &[timer("Timeout", 60)],
    ..Profile::of(ProductName::Apache)
};
