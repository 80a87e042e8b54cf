//! http-proxy for Node.js, alone or in vite, webpack-dev-server, Next.js and http-proxy-middleware.

use super::{ProductName, Profile, Spelling};
use crate::engine::event::{Fields, Request};

/// Fewer fields may stand in reverse by chance.
const ENOUGH: usize = 4;

pub(super) const PROFILE: Profile = Profile {
    tried: true,
    processes: &["node", "node-MainThread"],
    pages: &["Error occurred while trying to proxy"],
    spelling: Spelling::Lower,
    arranges: Some(reverses),
    ..Profile::of(ProductName::NodeProxy)
};

/// http-proxy copies the client's fields from the last to the first.
fn reverses(before: &Request, after: &Request) -> bool {
    let place = |name: &str| before.lines().iter().position(|line| line.name.eq_ignore_ascii_case(name));
    let places: Vec<_> = after.lines().iter().filter_map(|line| place(&line.name)).collect();
    places.len() >= ENOUGH && places.is_sorted_by(|one, next| one > next)
}
