//! What fuzzers run: bytes become captures, frames, segments, heads, WebSocket frames or records of the kernel program.
//! None of them may panic, make the engine hold more than its limit, or bring out a line that is not fit to be printed.
//!
//! Each layout is read until its bytes end, so that every input means something.

mod bytes;
mod judge;
pub mod seeds;
mod wire;

use std::{
    fs::File,
    io::{Seek, Write},
    os::fd::AsRawFd,
    sync::Arc,
};

use observer::{
    engine::{
        Config,
        clocks::Survey,
        demand::{Activity, Control},
        frame::{Frame, LinkType},
        tcp::Direction,
        time::Timestamp,
    },
    tap::{
        SharedInterfaces,
        ebpf::Parts,
        file::{FileTap, Input},
    },
};
use observer_ebpf::{Start, kind};

use self::{
    bytes::Bytes,
    judge::Judge,
    wire::{Conversation, Flags},
};

/// One body: a name, and what it does with bytes.
pub type Body = (&'static str, fn(&[u8]));

/// All of them.
pub const BODIES: [Body; 6] = [
    ("files", files),
    ("frames", frames),
    ("scripts", scripts),
    ("heads", heads),
    ("websockets", websockets),
    ("records", records),
];

/// The bytes are a file: pcap, pcapng, either of them packed, or neither.
pub fn files(bytes: &[u8]) {
    thread_local! {
        static FILE: File = memory_file();
    }
    FILE.with(|mut file| {
        file.set_len(0).expect("it is writable");
        file.rewind().expect("it is seekable");
        file.write_all(bytes).expect("there is memory");
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let interfaces = SharedInterfaces::default();
        let (mut tap, errors) = FileTap::open(&[Input::Path(path.into())], &interfaces, Arc::default());
        let mut judge = Judge::new(interfaces.clone());
        let mut survey = Survey::new(Config { memory_limit: 1 << 20, ..Config::default() });
        let mut failed = errors.len();
        loop {
            match tap.next_frame() {
                Ok(Some(frame)) => {
                    survey.handle_frame(&frame);
                    judge.frame(&frame);
                }
                Ok(None) => break,
                Err(_) => failed += 1,
            }
            assert!(failed < 2, "a file fails once");
        }
        judge.finish();
        let clocks = survey.finish();
        assert!(clocks.estimates().iter().all(|estimate| clocks.between(estimate.clock, estimate.reference).is_some()));
    });
}

/// Where a file can be written again and again: without a name, and gone with the process.
fn memory_file() -> File {
    let folder = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { std::env::temp_dir() };
    let path = folder.join(format!("observer-fuzz-{}-{:?}", std::process::id(), std::thread::current().id()));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
    let _ = std::fs::remove_file(&path).is_ok();
    file.expect("there is room for a file")
}

/// The bytes are a link type and frames: length, captured length, time and bytes of each.
pub fn frames(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let link = LinkType::from_number(u32::from(bytes.short()));
    let mut judge = Judge::new(SharedInterfaces::default());
    let mut at = Timestamp::from_nanos(1 << 60);
    while !bytes.0.is_empty() {
        at = bytes.later(at);
        let (more, length) = (bytes.short(), usize::from(bytes.short()));
        let frame = bytes.take(length);
        judge.bytes(link, at, frame, u32::try_from(frame.len()).unwrap_or(u32::MAX) + u32::from(more));
    }
    judge.finish();
}

/// The bytes are segments of a few connections, each placed near where the last one of its flow ended.
pub fn scripts(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let mut judge = Judge::new(SharedInterfaces::default());
    let mut talks: Vec<_> = (0..4).map(Conversation::unopened).collect();
    let mut at = Timestamp::from_nanos(1 << 60);
    while !bytes.0.is_empty() {
        let (place, flags) = (bytes.byte(), bytes.byte());
        at = bytes.later(at);
        let (sequence, acknowledgment) = (bytes.near(), bytes.near());
        let length = usize::from(bytes.short());
        let payload = bytes.take(length);
        let talk = &mut talks[usize::from(place & 3)];
        judge.raw(at, &talk.placed(place & 4 != 0, Flags(flags), (sequence, acknowledgment), payload));
        if place & 128 != 0 {
            judge.lose(at);
        }
    }
    judge.finish();
}

/// The bytes are what both sides of a connection say in turn, cut into segments of one length.
pub fn heads(bytes: &[u8]) {
    turns(bytes, &[]);
}

/// The same behind the answer that makes it a tunnel.
pub fn websockets(bytes: &[u8]) {
    turns(bytes, &[(false, seeds::UPGRADE), (true, seeds::SWITCHING)]);
}

fn turns(bytes: &[u8], before: &[(bool, &[u8])]) {
    let mut bytes = Bytes(bytes);
    let cut = usize::from(bytes.short()).max(1);
    let mut judge = Judge::new(SharedInterfaces::default());
    let mut talk = Conversation::unopened(0);
    let mut at = Timestamp::from_nanos(1 << 60);
    for frame in talk.open() {
        judge.raw(at, &frame);
    }
    for (by_server, said) in before {
        judge.raw(at, &talk.placed(*by_server, Flags::ACK, (0, 0), said));
    }
    while !bytes.0.is_empty() {
        let side = bytes.byte();
        at = bytes.later(at);
        let length = usize::from(bytes.short());
        let said = bytes.take(length);
        for part in said.chunks(cut) {
            judge.raw(at, &talk.placed(side & 1 != 0, Flags::ACK, (0, 0), part));
        }
        if said.is_empty() {
            judge.raw(at, &talk.placed(side & 1 != 0, Flags(Flags::ACK.0 | side & 4 | side >> 3 & 1), (0, 0), b""));
        }
    }
    judge.finish();
}

/// The bytes are records of the kernel program, each behind its length.
pub fn records(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let mut judge = Judge::new(SharedInterfaces::default());
    let mut parts = Parts::default();
    let mut number = 0;
    while !bytes.0.is_empty() {
        let length = usize::from(bytes.short());
        let item = bytes.take(length);
        let Some(start) = observer_ebpf::read::<Start>(item) else { continue };
        let at = Timestamp::from_nanos((start.at >> 1).cast_signed());
        number += 1;
        match start.kind {
            kind::FRAME => {
                let record = observer_ebpf::read::<observer_ebpf::Frame>(item);
                let frame = record.and_then(|record| parts.frame(item, &record, at, number, Default::default()));
                if let Some(frame) = frame {
                    judge.frame(&Frame { number, ..frame });
                }
            }
            kind::ACTIVITY => {
                let Some(record) = observer_ebpf::read::<observer_ebpf::Activity>(item) else { continue };
                for (flow, way) in record.flows.flows.iter().zip([Direction::ToServer, Direction::ToClient]) {
                    let (client, server) = wire::ends();
                    let next_header = (flow.flags & 1 != 0).then_some(flow.header_then);
                    let (next, frames) = (flow.left, flow.frames);
                    judge.activity(&Activity { client, server, way, at, next, frames, next_header });
                }
            }
            kind::CONTROL => {
                let Some(record) = observer_ebpf::read::<observer_ebpf::Control>(item) else { continue };
                let Some(bytes) = record.bytes.get(..record.kept as usize) else { continue };
                let (client, server) = wire::ends();
                let way = if record.flow & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
                judge.control(&Control { client, server, way, at, next: record.next, bytes });
            }
            _ => {}
        }
    }
    judge.finish();
}
