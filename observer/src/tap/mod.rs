//! Taps: where frames come from. A tap knows nothing above the link layer.

mod error;
pub mod file;

use std::{cell::RefCell, rc::Rc};

pub use self::error::TapError;
use crate::engine::frame::InterfaceId;

/// Where frames of one [`InterfaceId`] were captured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceInfo {
    /// The interface's own name, where the tap knows it. Comes from outside: sinks escape it.
    pub name: Option<String>,
    /// The file as the user named it, or `-`.
    pub source: String,
}

/// All interfaces of a run, by [`InterfaceId`]; grows as taps discover them.
pub type SharedInterfaces = Rc<RefCell<Vec<InterfaceInfo>>>;

/// Adds an interface to the table and gives it its id.
fn register(interfaces: &SharedInterfaces, info: InterfaceInfo) -> InterfaceId {
    let mut table = interfaces.borrow_mut();
    let id = InterfaceId(u32::try_from(table.len()).unwrap_or(u32::MAX));
    table.push(info);
    id
}
