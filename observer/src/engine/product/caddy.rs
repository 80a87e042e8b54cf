//! Caddy. It names itself in Server, and in Via since 2.10. It has no idle timer for tunnels.

use super::{ProductName, Profile, Spelling};

pub(super) const PROFILE: Profile = Profile {
    tried: true,
    servers: &["caddy"],
    via: &["caddy"],
    processes: &["caddy"],
    spelling: Spelling::Go,
    ..Profile::of(ProductName::Caddy)
};
