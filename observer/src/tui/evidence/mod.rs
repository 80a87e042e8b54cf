//! What proves an attempt: its frames, found again in the captures or in the ring of recent ones, each with a word on
//! what it shows. Frames are raw: redaction does not reach them, so files are for their owner alone.

mod export;
mod pick;
mod ring;

pub(super) use self::export::{copy, export};
pub use self::ring::Ring;

use std::sync::{Arc, Mutex, OnceLock};

use crate::{
    engine::{
        clocks::Clocks,
        frame::{ClockId, Frame, InterfaceId, LinkType},
        time::Timestamp,
    },
    tap::file::Input,
};

/// Where frames can be had again.
#[derive(Clone, Debug)]
pub enum Evidence {
    /// In the captures, read once more.
    Files(Vec<Input>, FoundClocks),
    /// Among the last ones seen.
    Recent(Arc<Mutex<Ring>>),
    /// Nowhere, and why.
    Gone(&'static str),
}

/// How clocks stand to each other, once that is found out: frames are to be found by the times that are shown.
pub type FoundClocks = Arc<OnceLock<Clocks>>;

/// A frame that is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Kept {
    at: Timestamp,
    number: u64,
    interface: InterfaceId,
    clock: ClockId,
    link: LinkType,
    wire_length: u32,
    bytes: Box<[u8]>,
}

impl Kept {
    fn of(frame: &Frame<'_>) -> Self {
        let Frame { at, number, interface, clock, link, wire_length, bytes } = *frame;
        Self { at, number, interface, clock, link, wire_length, bytes: bytes.into() }
    }

    fn frame(&self) -> Frame<'_> {
        let Self { at, number, interface, clock, link, wire_length, ref bytes } = *self;
        Frame { at, number, interface, clock, link, wire_length, bytes }
    }
}
