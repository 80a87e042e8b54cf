//! What the capture may have missed, and what may be concluded all the same. Rules read the claims made here; every claim
//! that does not hold names the hole, or the other reading, that stands in its way.

mod claim;
mod hole;
mod holes;
mod recently;

pub use self::{
    claim::{Claim, Doubt},
    hole::{FlowClass, Hole, HoleKind, Place},
    holes::Holes,
    recently::Recently,
};
