//! One capture file: knows its format, numbers its frames, and turns what stops it into an error that names it.

use super::{
    pcap::{self, Pcap},
    pcapng::{self, PcapNg},
    record::{Fault, Record, clock},
    source::{Input, Source, unpack},
    window::Window,
};
use crate::{
    engine::{clocks::Clocks, frame::Frame, time::Timestamp},
    tap::{InterfaceInfo, SharedInterfaces, TapError, error::Position},
};

/// A file that is being read.
pub(super) struct Reader {
    file: String,
    window: Window,
    unpacked: bool,
    format: Format,
    /// The frame that was gone to last.
    record: Record,
    /// When it was captured, by the clock that is shown.
    at: Timestamp,
    /// How clocks stand to that; `None` where this is the file's own.
    clocks: Option<Clocks>,
    frames: u64,
}

/// Where a reader has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Frame,
    /// Nothing comes for now; ask again.
    Quiet,
    End,
}

enum Format {
    Pcap(Pcap),
    PcapNg(PcapNg),
}

impl Reader {
    /// Reads the file's header. `place` is that of the file among all files of the run.
    pub(super) fn new(
        place: usize,
        input: &Input,
        source: Source,
        interfaces: &SharedInterfaces,
    ) -> Result<Self, TapError> {
        let file = input.spoken();
        let (bytes, unpacked) = unpack(source.bytes).map_err(|source| TapError::Open { file: file.clone(), source })?;
        let mut window = Window::new(bytes, source.size.filter(|_| !unpacked));
        let recognised = loop {
            match recognise(&mut window, place, &input.label(), interfaces) {
                Err(Fault::Quiet) => {}
                other => break other,
            }
        };
        match recognised {
            Ok(Some(format)) => {
                let record = match &format {
                    Format::Pcap(pcap) => pcap.record(),
                    Format::PcapNg(_) => Record::default(),
                };
                Ok(Self { file, window, unpacked, format, record, at: Timestamp::default(), clocks: None, frames: 0 })
            }
            Ok(None) => Err(not_a_capture(file, &window)),
            Err(fault) => Err(header_error(file, fault, &window, unpacked)),
        }
    }

    /// Tells the time by the clock that others are compared with.
    pub(super) fn by(self, clocks: &Clocks) -> Self {
        let clocks = clocks.estimates().iter().any(|estimate| estimate.ahead != 0).then(|| clocks.clone());
        Self { clocks, ..self }
    }

    /// Goes to the next frame.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<Step, TapError> {
        if self.record.unread > 0 {
            self.skip()?;
        }
        let step = match &mut self.format {
            Format::Pcap(pcap) => pcap.advance(&mut self.window, &mut self.record),
            Format::PcapNg(pcapng) => pcapng.advance(&mut self.window, &mut self.record),
        };
        match step {
            Ok(true) => {
                self.frames += 1;
                let Record { at, clock, .. } = self.record;
                self.at = self.clocks.as_ref().map_or(at, |clocks| clocks.common(clock, at));
                Ok(Step::Frame)
            }
            Ok(false) => Ok(Step::End),
            Err(Fault::Quiet) => Ok(Step::Quiet),
            Err(fault) => Err(self.error(fault)),
        }
    }

    /// Leaves out the rest of the frame that [`Self::advance`] went to.
    fn skip(&mut self) -> Result<(), TapError> {
        let unread = std::mem::take(&mut self.record.unread);
        self.window.skip(unread).map_err(|error| self.error(Fault::from(error)))
    }

    /// Whether only the first bytes of that frame are there.
    #[inline]
    pub(super) const fn is_begun(&self) -> bool {
        self.record.unread > 0
    }

    /// Reads the rest of that frame.
    pub(super) fn complete(&mut self) -> Result<(), TapError> {
        match &self.format {
            Format::Pcap(pcap) if self.record.unread > 0 => {
                pcap.complete(&mut self.window, &mut self.record).map_err(|fault| self.error(fault))
            }
            _ => Ok(()),
        }
    }

    /// The frame that [`Self::advance`] went to.
    #[inline]
    pub(super) fn frame(&self) -> Frame<'_> {
        Frame {
            at: self.at,
            number: self.frames,
            interface: self.record.interface,
            clock: self.record.clock,
            link: self.record.link,
            wire_length: self.record.wire_length,
            bytes: self.window.slice(self.record.bytes.clone()),
        }
    }

    /// When that frame was captured.
    pub(super) const fn at(&self) -> Timestamp {
        self.at
    }

    #[cold]
    fn error(&self, fault: Fault) -> TapError {
        let (file, frames, unpacked) = (self.file.clone(), self.frames, self.unpacked);
        let record = self.window.offset();
        let position = Position { offset: record, unpacked };
        match fault {
            Fault::Cut => {
                let position = Position { offset: self.window.end(), unpacked };
                TapError::Cut { file, position, record, frames }
            }
            Fault::Corrupt(what) => TapError::Corrupt { file, position, what, frames },
            Fault::Version(version) => TapError::Version { file, version },
            Fault::Read(source) => TapError::Read { file, position, source, frames },
            Fault::Quiet => quiet(file, position, frames),
        }
    }
}

/// `None` when it is no capture.
fn recognise(
    window: &mut Window,
    place: usize,
    label: &str,
    interfaces: &SharedInterfaces,
) -> Result<Option<Format>, Fault> {
    window.has(4)?;
    let Some(magic) = window.bytes().first_chunk().copied() else { return Ok(None) };
    if u32::from_le_bytes(magic) == pcapng::SECTION {
        return match window.has(pcapng::BLOCK_MIN)? {
            true => Ok(Some(Format::PcapNg(PcapNg::new(place, label, interfaces)))),
            false => Err(Fault::Cut),
        };
    }
    if pcap::variant(magic).is_none() {
        return Ok(None);
    }
    if !window.has(pcap::HEADER)? {
        return Err(Fault::Cut);
    }
    let Some(header) = window.bytes().first_chunk() else { return Err(Fault::Cut) };
    let clock = clock(place, 0);
    let info = InterfaceInfo { name: None, source: label.to_owned(), clock };
    let pcap = Pcap::new(header, clock, || interfaces.register(info))?;
    window.consume(pcap::HEADER);
    Ok(Some(Format::Pcap(pcap)))
}

fn not_a_capture(file: String, window: &Window) -> TapError {
    let bytes = window.bytes();
    if bytes.is_empty() {
        return TapError::Empty { file };
    }
    let program = match bytes {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        [0xfd, b'7', b'z', b'X', ..] => Some("xz"),
        [b'B', b'Z', b'h', ..] => Some("bzip2"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some("lz4"),
        _ => None,
    };
    if let Some(program) = program {
        return TapError::Packed { file, program };
    }
    let start: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    TapError::NotACapture { file, start: start.join(" ") }
}

fn header_error(file: String, fault: Fault, window: &Window, unpacked: bool) -> TapError {
    let position = Position { offset: window.offset(), unpacked };
    match fault {
        Fault::Cut => TapError::HeaderCut { file, position: Position { offset: window.end(), unpacked } },
        Fault::Corrupt(what) => TapError::Corrupt { file, position, what, frames: 0 },
        Fault::Version(version) => TapError::Version { file, version },
        Fault::Read(source) => TapError::Read { file, position, source, frames: 0 },
        Fault::Quiet => quiet(file, position, 0),
    }
}

/// Silence is no error; where it is made one all the same, it is the kernel's.
fn quiet(file: String, position: Position, frames: u64) -> TapError {
    TapError::Read { file, position, source: std::io::ErrorKind::WouldBlock.into(), frames }
}
