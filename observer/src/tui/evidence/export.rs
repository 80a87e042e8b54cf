//! Puts an attempt on the clipboard or in files: JSON as the feed prints it, and a pcapng with a comment on each frame.

use std::{
    borrow::Cow,
    cell::RefCell,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    rc::Rc,
    sync::{Arc, PoisonError},
};

use anyhow::Context;
use crossterm::{clipboard::CopyToClipboard, execute};
use pcap_parser::{
    Linktype, OptionCode, ToVec,
    pcapng::{EnhancedPacketBlock, InterfaceDescriptionBlock, PcapNGOption, SectionHeaderBlock},
};

use super::{Evidence, Kept, pick::Picker};
use crate::{
    engine::frame::{InterfaceId, LinkType},
    sink::{self, Emit, Ending, Options, wall},
    tap::{InterfaceInfo, SharedInterfaces, file::FileTap},
    tui::{Setup, state::Row},
};

/// More than this is refused by most terminals.
const CLIPBOARD: usize = 74_000;

/// What the feed would print of an attempt.
fn json(row: &Row, interfaces: &[InterfaceInfo], show_secrets: bool) -> anyhow::Result<Vec<u8>> {
    let memory = Memory::default();
    let shared = SharedInterfaces::default();
    for interface in interfaces {
        shared.register(interface.clone());
    }
    let options = Options { emit: Emit::ALL, show_secrets, color: false, interfaces: shared };
    let mut sink = sink::json(Box::new(memory.clone()), options);
    for event in row.events() {
        sink.event(&event)?;
    }
    sink.finish(&Ending::default())?;
    Ok(memory.0.take())
}

#[derive(Clone, Default)]
struct Memory(Rc<RefCell<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Asks the terminal to put an attempt on its clipboard (OSC 52). Whether it does, it does not say.
pub(in crate::tui) fn copy(row: &Row, interfaces: &[InterfaceInfo], show_secrets: bool) -> anyhow::Result<String> {
    let json = json(row, interfaces, show_secrets)?;
    anyhow::ensure!(json.len() <= CLIPBOARD, "{} bytes are too much for a terminal's clipboard; e exports", json.len());
    execute!(io::stdout(), CopyToClipboard::to_clipboard_from(&json))?;
    let lines = json.split(|byte| *byte == b'\n').count() - 1;
    Ok(format!("copied as JSON, {lines} lines (if the terminal allows OSC 52)"))
}

/// Writes an attempt to files; tells which.
pub(in crate::tui) fn export(row: &Row, interfaces: &[InterfaceInfo], setup: &Setup) -> anyhow::Result<String> {
    let name = write(row, "json", &json(row, interfaces, setup.show_secrets)?, setup)?;
    let place = setup.exports.display();
    let mut picker = Picker::new(row);
    match &setup.evidence {
        Evidence::Gone(why) => return Ok(format!("wrote {name} (no frames: {why}) in {place}")),
        Evidence::Recent(ring) => {
            let ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
            ring.frames().for_each(|frame| picker.see(&frame));
        }
        Evidence::Files(inputs, clocks) => {
            let clocks = clocks.get().cloned().unwrap_or_default();
            let (mut tap, _) = FileTap::open_by(inputs, &SharedInterfaces::default(), &clocks, Arc::default());
            // What cannot be read was told when it was read first.
            loop {
                match tap.next_frame() {
                    Ok(Some(frame)) => picker.see(&frame),
                    Ok(None) => break,
                    Err(_) => {}
                }
            }
        }
    }
    let frames = picker.finish();
    if frames.is_empty() {
        return Ok(format!("wrote {name} (its frames are not at hand any more) in {place}"));
    }
    let bytes = pcapng(&frames, interfaces)?;
    write(row, "pcapng", &bytes, setup)?;
    Ok(format!("wrote {name} and .pcapng ({} raw frames) in {place}", frames.len()))
}

/// Writes a new file, and says so. Gives its name.
fn write(row: &Row, extension: &str, bytes: &[u8], setup: &Setup) -> anyhow::Result<String> {
    let (mut file, name) = create(row, extension, &setup.exports)?;
    let path = setup.exports.join(&name);
    file.write_all(bytes).with_context(|| format!("cannot write {}", path.display()))?;
    // Nobody may care.
    let _ = setup.exported.send(path);
    Ok(name)
}

/// A new file for its owner alone. What is there is not overwritten.
fn create(row: &Row, extension: &str, directory: &Path) -> anyhow::Result<(File, String)> {
    let mut name = format!("observer-{}.{extension}", row.attempt.id);
    for number in 2..1000 {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                name = format!("observer-{}-{number}.{extension}", row.attempt.id);
            }
            Ok(file) => return Ok((file, name)),
            Err(error) => {
                let path = directory.join(name);
                return Err(error).with_context(|| format!("cannot create {}", path.display()));
            }
        }
    }
    anyhow::bail!("cannot create {name}: there are a thousand of them in {}", directory.display())
}

/// A capture with a comment on each frame (draft-ietf-opsawg-pcapng).
fn pcapng(frames: &[(Kept, String)], interfaces: &[InterfaceInfo]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = section()?;
    let mut known: Vec<(InterfaceId, LinkType)> = Vec::new();
    for (kept, comment) in frames {
        let place = (kept.interface, kept.link);
        let index = match known.iter().position(|other| *other == place) {
            Some(index) => index,
            None => {
                let info = usize::try_from(kept.interface.0).ok().and_then(|at| interfaces.get(at));
                bytes.extend(description(kept.link, info)?);
                known.push(place);
                known.len() - 1
            }
        };
        bytes.extend(packet(u32::try_from(index)?, kept, comment)?);
    }
    Ok(bytes)
}

fn section() -> anyhow::Result<Vec<u8>> {
    let mut section = SectionHeaderBlock {
        block_type: 0,
        block_len1: 0,
        bom: 0,
        major_version: 1,
        minor_version: 0,
        section_len: -1,
        options: Vec::new(),
        block_len2: 0,
    };
    encoded(&mut section)
}

fn description(link: LinkType, info: Option<&InterfaceInfo>) -> anyhow::Result<Vec<u8>> {
    const NANOSECONDS: u8 = 9;
    let name = info.and_then(|info| info.name.as_deref());
    let mut description = InterfaceDescriptionBlock {
        block_type: 0,
        block_len1: 0,
        linktype: Linktype(i32::try_from(number(link))?),
        reserved: 0,
        snaplen: 0,
        options: name.map(|name| option(OptionCode::IfName, name)).into_iter().collect(),
        block_len2: 0,
        if_tsresol: NANOSECONDS,
        if_tsoffset: 0,
    };
    encoded(&mut description)
}

fn packet(if_id: u32, kept: &Kept, comment: &str) -> anyhow::Result<Vec<u8>> {
    let comment = format!("frame {} of the capture. {comment}", kept.number);
    let nanos = u64::try_from(wall::nanos(kept.at)).unwrap_or(0);
    let mut packet = EnhancedPacketBlock {
        block_type: 0,
        block_len1: 0,
        if_id,
        ts_high: u32::try_from(nanos >> 32)?,
        ts_low: u32::try_from(nanos & u64::from(u32::MAX))?,
        caplen: u32::try_from(kept.bytes.len())?,
        origlen: kept.wire_length,
        data: &kept.bytes,
        options: vec![option(OptionCode::Comment, &comment)],
        block_len2: 0,
    };
    encoded(&mut packet)
}

fn option(code: OptionCode, text: &str) -> PcapNGOption<'_> {
    let mut end = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text.as_bytes()[..end];
    PcapNGOption { code, len: u16::try_from(end).unwrap_or(u16::MAX), value: Cow::Owned(text.to_vec()) }
}

fn encoded(block: &mut impl ToVec) -> anyhow::Result<Vec<u8>> {
    block.to_vec().map_err(|error| anyhow::anyhow!("cannot encode a pcapng block ({error:?})"))
}

/// The number of a link type in a capture file.
const fn number(link: LinkType) -> u32 {
    match link {
        LinkType::Null => 0,
        LinkType::Ethernet => 1,
        LinkType::Raw => 101,
        LinkType::Loop => 108,
        LinkType::LinuxSll => 113,
        LinkType::Ipv4 => 228,
        LinkType::Ipv6 => 229,
        LinkType::LinuxSll2 => 276,
        LinkType::Other(number) => number,
    }
}
