//! mitmproxy.

use super::{ProductName, Profile, timer};

pub(super) const PROFILE: Profile = Profile {
    servers: &["mitmproxy"],
    via: &["mitmproxy"],
    processes: &["mitmproxy", "mitmdump", "mitmweb"],
    timers: &[timer("connection timeout", 600)],
    ..Profile::of(ProductName::Mitmproxy)
};
