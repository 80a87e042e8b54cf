//! HAProxy. It never names itself: its own pages tell, and otherwise only the habit of lower-case names.

use super::{ProductName, Profile, Spelling, timer};

pub(super) const PROFILE: Profile = Profile {
    tried: true,
    processes: &["haproxy"],
    pages: &[
        "No server is available to handle this request.",
        "The server returned an invalid or incomplete response.",
        "The server didn't respond in time.",
        "Request forbidden by administrative rules.",
        "Your browser sent an invalid request.",
        "Your browser didn't send a complete request in time.",
        "You have sent too many requests in a given amount of time.",
        "You need a valid user and password to access this content.",
    ],
    spelling: Spelling::Lower,
    timers: &[timer("timeout client/server (Debian's haproxy.cfg)", 50)],
    ..Profile::of(ProductName::HaProxy)
};
