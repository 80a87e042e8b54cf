//! `ReverseProxy` of Go's standard library, in any program. Only Go's way to write names tells.

use super::{ProductName, Profile, Spelling};

pub(super) const PROFILE: Profile = Profile { spelling: Spelling::Go, ..Profile::of(ProductName::GoProxy) };
