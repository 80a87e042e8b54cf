//! What can go wrong in a tap. Every message names the file and says what to do next.

use std::io;

/// Why a tap gave less than all its frames.
#[derive(thiserror::Error, Debug)]
pub enum TapError {
    /// The file cannot be opened.
    #[error("cannot open {file}: {}; {}", plain(source), advice(source))]
    Open {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The file is a directory.
    #[error("{file} is a directory; name the captures in it one by one")]
    Directory {
        /// The file.
        file: String,
    },
    /// Standard input is a terminal.
    #[error("standard input is a terminal; pipe a capture into it: `ssh HOST tcpdump -U -w - | observer read -`")]
    Terminal,
    /// There is not one byte.
    #[error("{file} is empty, not even a capture's header is there; see whether the program that wrote it failed")]
    Empty {
        /// The file.
        file: String,
    },
    /// The file is something else.
    #[error("{file} is neither pcap nor pcapng: it begins with {start}; other formats can be converted with `editcap`")]
    NotACapture {
        /// The file.
        file: String,
        /// Its first bytes, in hexadecimal.
        start: String,
    },
    /// The file is packed in a way that is not unpacked here.
    #[error("{file} is packed with {program}; unpack it on the way: `{program} -dc FILE | observer read -`")]
    Packed {
        /// The file.
        file: String,
        /// What unpacks it.
        program: &'static str,
    },
    /// The file is of a later version of its format.
    #[error("{file} is of {version}, which is not known; convert it with `editcap -F pcap`")]
    Version {
        /// The file.
        file: String,
        /// The format and its version.
        version: String,
    },
    /// The file ends before its first record.
    #[error("{file} ends at {position}, inside the capture's header: it holds no frames; capture again")]
    HeaderCut {
        /// The file.
        file: String,
        /// Where it ends.
        position: Position,
    },
    /// The file ends in the middle of a record. All frames before it were handed out: this is a warning.
    #[error(
        "{file} is cut off at {position}, in the middle of the record that begins at byte {record}; \
         frames read before it: {frames}"
    )]
    Cut {
        /// The file.
        file: String,
        /// Where it ends.
        position: Position,
        /// Where the incomplete record begins.
        record: u64,
        /// The number of frames before.
        frames: u64,
    },
    /// The file contradicts itself.
    #[error(
        "{file} is damaged at {position}: {what}; frames read before it: {frames}, after it: none; \
         `pcapfix` may mend the file"
    )]
    Corrupt {
        /// The file.
        file: String,
        /// Where the bad record begins.
        position: Position,
        /// What is wrong with it.
        what: String,
        /// The number of frames before.
        frames: u64,
    },
    /// Reading failed.
    #[error("cannot read {file} after {position}: {}; frames read before: {frames}; try again", plain(source))]
    Read {
        /// The file.
        file: String,
        /// How far reading came.
        position: Position,
        /// Why.
        source: io::Error,
        /// The number of frames before.
        frames: u64,
    },
    /// There is no such interface.
    #[error("there is no interface {}; there are: {known}", quiet(name))]
    NoInterface {
        /// As it was typed.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// The kernel lets only some users capture.
    #[error("no permission to capture on {name}; {}", permission())]
    NotPermitted {
        /// The interface.
        name: String,
    },
    /// The interface cannot be opened.
    #[error("cannot capture on {name}: {why}; `observer doctor` looks at every interface")]
    Interface {
        /// The interface.
        name: String,
        /// What libpcap says.
        why: String,
    },
    /// The interface carries something that is not read.
    #[error("cannot read what {name} carries (link type {number}); choose another interface with -i")]
    LinkType {
        /// The interface.
        name: String,
        /// Its number in the registry.
        number: u32,
    },
    /// The filter is none.
    #[error("the filter `{}` does not compile: {why}; see pcap-filter(7)", quiet(filter))]
    Filter {
        /// As it was typed.
        filter: String,
        /// What libpcap says.
        why: String,
    },
    /// An interface cannot be read any more.
    #[error("{name} is lost: {why}; it is tried again each second")]
    Lost {
        /// The interface.
        name: String,
        /// What libpcap says.
        why: String,
    },
    /// The kernel does not take the program.
    #[cfg(feature = "ebpf")]
    #[error("cannot watch from inside the kernel: {why}; `--tap pcap` does without")]
    Ebpf {
        /// What the kernel says.
        why: String,
    },
    /// The kernel takes programs only from some users.
    #[cfg(feature = "ebpf")]
    #[error("no permission to watch from inside the kernel; {}", super::ebpf::permission())]
    EbpfNotPermitted,
    /// The program cannot be attached to an interface.
    #[cfg(feature = "ebpf")]
    #[error("{name} is not watched: {why}; start again to watch it")]
    Unwatched {
        /// The interface.
        name: String,
        /// What the kernel says.
        why: String,
    },
    /// The kernel takes no demands: nothing is lost by that.
    #[cfg(feature = "ebpf")]
    #[error("payload that is not needed is copied all the same: {why}")]
    Costly {
        /// What the kernel says.
        why: String,
    },
    /// Nothing is left to capture on.
    #[error("every interface is lost, and none can be opened again without privileges; start again, without -i")]
    Deaf,
    /// The interfaces cannot be listed.
    #[error("cannot list the interfaces: {why}")]
    List {
        /// What libpcap says.
        why: String,
    },
    /// Waiting for frames failed.
    #[error("cannot wait for frames: {}", plain(source))]
    Poll {
        /// Why.
        source: io::Error,
    },
}

impl TapError {
    /// Whether all that the file holds was read, so that the user is told but the run has not failed.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        matches!(self, Self::Cut { .. })
    }
}

/// What a user without the right to capture can do.
#[must_use]
pub fn permission() -> String {
    let program = program();
    format!("allow it once with `sudo setcap cap_net_raw+ep {program}`, or run `sudo {program} live`")
}

/// The path of this very program.
#[must_use]
pub fn program() -> String {
    std::env::current_exe().map_or_else(|_| "observer".to_owned(), |path| path.display().to_string())
}

/// What was typed, fit for one line.
fn quiet(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// A place in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// Bytes before it.
    pub offset: u64,
    /// Whether these are counted after unpacking.
    pub unpacked: bool,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { offset, unpacked } = self;
        write!(f, "byte {offset}{}", if *unpacked { " of the unpacked data" } else { "" })
    }
}

/// An IO error without Rust's ` (os error 2)`.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// EMFILE, for which `io::ErrorKind` has no name.
const TOO_MANY_FILES: i32 = 24;

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => "run as a user who may read it, or change its owner",
        _ if error.raw_os_error() == Some(TOO_MANY_FILES) => "raise the limit with `ulimit -n`, or merge them first",
        _ => "check that the file can be read with `file`",
    }
}
