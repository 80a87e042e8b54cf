//! The functions that run for every frame or head, each by itself: `cargo bench`. On captures of a real nginx under load.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use divan::{Bencher, black_box, counter::ItemsCount};
use flate2::read::MultiGzDecoder;
use observer::{
    engine::{
        Config, Engine,
        frame::Frame,
        http::head,
        packet::{Packets, Parsed},
        tcp::Stamp,
    },
    tap::{
        SharedInterfaces,
        file::{FileTap, Input},
    },
};

const CAPTURES: [&str; 2] = ["requests", "tunnels"];

fn main() {
    divan::main();
}

/// Records from a file, unpacked.
#[divan::bench(args = CAPTURES)]
fn tap(bencher: Bencher<'_, '_>, capture: &str) {
    let frames = Frames::of(capture);
    let path = unpacked(capture);
    bencher.counter(ItemsCount::new(frames.0.len())).bench(|| {
        each_frame(&path, |frame| {
            black_box(frame);
        });
    });
}

/// From frames to segments.
#[divan::bench(args = CAPTURES)]
fn packets(bencher: Bencher<'_, '_>, capture: &str) {
    let frames = Frames::of(capture);
    bencher.counter(ItemsCount::new(frames.0.len())).bench(|| {
        let mut packets = Packets::new(1 << 20);
        for frame in frames.lent() {
            black_box(packets.parse(&frame));
        }
    });
}

/// From frames to events.
#[divan::bench(args = CAPTURES)]
fn engine(bencher: Bencher<'_, '_>, capture: &str) {
    let frames = Frames::of(capture);
    bencher.counter(ItemsCount::new(frames.0.len())).with_inputs(|| Engine::new(Config::default())).bench_values(
        |mut engine| {
            for frame in frames.lent() {
                engine.handle_frame(&frame);
                while let Some(event) = engine.poll_event() {
                    black_box(event);
                }
            }
            engine
        },
    );
}

/// Request and response heads.
#[divan::bench]
fn heads(bencher: Bencher<'_, '_>) {
    let heads = Frames::of("requests").payloads();
    bencher.counter(ItemsCount::new(heads.len())).bench(|| {
        for raw in &heads {
            if raw.starts_with(b"HTTP/") {
                black_box(head::response(raw, Stamp::default(), true, |head| head.fields.len()));
            } else {
                black_box(head::request(raw, Stamp::default(), true, |head| head.fields.len()));
            }
        }
    });
}

/// The frames of a capture, in memory.
struct Frames(Vec<(Frame<'static>, Box<[u8]>)>);

impl Frames {
    fn of(capture: &str) -> Self {
        let mut frames = Vec::new();
        each_frame(&unpacked(capture), |frame| frames.push((Frame { bytes: &[], ..*frame }, frame.bytes.into())));
        Self(frames)
    }

    fn lent(&self) -> impl Iterator<Item = Frame<'_>> {
        self.0.iter().map(|(frame, bytes)| Frame { bytes, ..*frame })
    }

    fn payloads(&self) -> Vec<Vec<u8>> {
        let mut packets = Packets::new(1 << 20);
        let payload = |frame: Frame<'_>| match packets.parse(&frame) {
            Parsed::Segment(segment) => segment.payload.to_vec(),
            _ => Vec::new(),
        };
        self.lent().map(payload).filter(|payload| !payload.is_empty()).collect()
    }
}

/// The path of a copy that is not packed.
fn unpacked(capture: &str) -> PathBuf {
    let packed = format!("{}/../xtask/lab/standard/{capture}.pcap.gz", env!("CARGO_MANIFEST_DIR"));
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(capture).with_extension("pcap");
    let mut from = MultiGzDecoder::new(File::open(packed).expect("the capture is in the repository"));
    io::copy(&mut from, &mut File::create(&path).expect("there is a place for it")).expect("it is whole");
    path
}

fn each_frame(path: &Path, mut then: impl FnMut(&Frame<'_>)) {
    let input = Input::Path(path.to_owned());
    let (mut tap, errors) = FileTap::open(&[input], &SharedInterfaces::default(), Arc::new(AtomicBool::new(false)));
    assert!(errors.is_empty(), "{errors:?}");
    while let Some(frame) = tap.next_frame().expect("the capture is whole") {
        then(&frame);
    }
}
