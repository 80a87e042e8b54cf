//! The load balancers and front ends of Google Cloud.

use super::{ProductName, Profile, Spelling};

pub(super) const PROFILE: Profile = Profile {
    servers: &["google"],
    via: &["google"],
    pages: &["(Server Error)!!1"],
    spelling: Spelling::Lower,
    ..Profile::of(ProductName::Google)
};
