//! tinyproxy.

use super::{ProductName, Profile, timer};

pub(super) const PROFILE: Profile = Profile {
    servers: &["tinyproxy"],
    via: &["tinyproxy"],
    processes: &["tinyproxy"],
    pages: &[">tinyproxy</a>"],
    timers: &[timer("Timeout", 600)],
    ..Profile::of(ProductName::Tinyproxy)
};
