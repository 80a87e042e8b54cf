//! Where frames come from. For now only what sinks must know of a tap: what an interface is called.

/// What is known of an interface, by its number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceInfo {
    /// Its name where the tap knows it, such as `eth0`.
    pub name: Option<String>,
    /// The file, or the tap, that it belongs to.
    pub source: String,
}

/// The interfaces of a run, indexed by [`crate::engine::frame::InterfaceId`]; it grows while a file is read.
pub type SharedInterfaces = std::rc::Rc<std::cell::RefCell<Vec<InterfaceInfo>>>;
