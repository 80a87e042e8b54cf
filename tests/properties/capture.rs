//! The captures of the repository as owned frames.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use observer::tap::{
    SharedInterfaces,
    file::{FileTap, Input},
};

use crate::traffic::wire::Owned;

/// One case: the frames of each of its files.
pub struct Capture {
    pub name: String,
    pub files: Vec<Vec<Owned>>,
}

impl Capture {
    /// All frames, merged by time as `observer read` does.
    pub fn frames(&self) -> Vec<Owned> {
        merge(self.files.clone())
    }
}

/// Where they are.
const CAPTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../captures");

/// Several captures as one, by time; between equals, in the order given.
pub fn merge(files: Vec<Vec<Owned>>) -> Vec<Owned> {
    if files.len() == 1 {
        return files.into_iter().next().unwrap_or_default();
    }
    let mut all: Vec<_> = files.into_iter().flatten().collect();
    all.sort_by_key(|frame| frame.at);
    all
}

/// Every capture, by name.
pub fn all() -> Vec<Capture> {
    let only = std::env::var("ONLY").ok();
    let mut directories: Vec<PathBuf> = fs::read_dir(CAPTURES)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("case.toml").exists())
        .collect();
    directories.sort();
    directories
        .into_iter()
        .map(|directory| read(&directory))
        .filter(|capture| only.as_deref().is_none_or(|only| only.split(',').any(|name| name == capture.name)))
        .collect()
}

/// The capture with this name.
pub fn named(name: &str) -> Capture {
    read(&Path::new(CAPTURES).join(name))
}

fn read(directory: &Path) -> Capture {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng"))
        .collect();
    files.sort();
    let interfaces = SharedInterfaces::default();
    let name = directory.file_name().unwrap().to_string_lossy().into_owned();
    let files = (0..).zip(files).map(|(clock, path)| frames(path, clock, &interfaces)).collect();
    Capture { name, files }
}

/// The frames of a file whose clock is the given one.
fn frames(path: PathBuf, clock: u32, interfaces: &SharedInterfaces) -> Vec<Owned> {
    let (mut tap, errors) = FileTap::open(&[Input::Path(path)], interfaces, Arc::new(AtomicBool::new(false)));
    assert!(errors.is_empty(), "{errors:?}");
    let mut frames = Vec::new();
    while let Some(frame) = tap.next_frame().unwrap() {
        frames.push(Owned {
            at: frame.at,
            number: frame.number,
            interface: frame.interface.0,
            clock,
            link: frame.link,
            wire: frame.wire_length,
            bytes: frame.bytes.to_vec(),
        });
    }
    frames
}
