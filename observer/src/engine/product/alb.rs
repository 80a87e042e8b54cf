//! The Application Load Balancer of AWS. Only answers of its own name it.

use super::{ProductName, Profile, timer};

pub(super) const PROFILE: Profile =
    Profile { servers: &["awselb"], timers: &[timer("idle_timeout", 60)], ..Profile::of(ProductName::Alb) };
