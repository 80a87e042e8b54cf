//! Cloudflare.

use super::{ProductName, Profile, mark, timer};

pub(super) const PROFILE: Profile = Profile {
    servers: &["cloudflare"],
    replaces_server: true,
    sends: &[mark(&["CF-RAY"]), mark(&["CF-Connecting-IP"])],
    answers: &["CF-RAY"],
    pages: &["<center>cloudflare"],
    timers: &[timer("proxy idle timeout", 100)],
    ..Profile::of(ProductName::Cloudflare)
};
