//! The router of Heroku.

use super::{ProductName, Profile, timer};

pub(super) const PROFILE: Profile = Profile {
    via: &["vegur", "heroku-router"],
    pages: &["herokucdn.com/error-pages"],
    timers: &[timer("idle timeout", 55)],
    ..Profile::of(ProductName::Heroku)
};
