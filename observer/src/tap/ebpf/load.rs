//! Brings the kernel program into the kernel.

use std::{
    error::Error,
    io,
    os::fd::{AsRawFd, RawFd},
};

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Array, HashMap, MapData, RingBuf},
    programs::{BtfTracePoint, ProgramError, SchedClassifier},
};
use caps::{CapSet, Capability};
use observer_ebpf::{Connection, Counts, Demand, Epoch, Flows, Left, Talk};

use crate::tap::TapError;

/// What loading and attaching need.
pub const CAPABILITIES: [&str; 3] = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"];

/// The ring is at most this: 1 GiB.
const MOST: usize = 1 << 30;
const LEAST: usize = 4096;

/// The program, in the kernel but not attached to anything.
pub(super) struct Loaded {
    pub(super) programs: Ebpf,
    pub(super) ring: RingBuf<MapData>,
    pub(super) ring_fd: RawFd,
    pub(super) counts: Array<MapData, Counts>,
    pub(super) demands: HashMap<MapData, Connection, Demand>,
    pub(super) flows: HashMap<MapData, Connection, Flows>,
    pub(super) talks: HashMap<MapData, Connection, Talk>,
    pub(super) epoch: Array<MapData, Epoch>,
    pub(super) left: Array<MapData, Left>,
}

/// Slices of a second, of which a share of ordinary requests is seen.
const SLICES: u32 = 10;

/// Loads it, with a ring of `buffer` bytes or the next power of two, to see so many `ordinary` requests per second.
pub(super) fn load(buffer: usize, ordinary: u32) -> Result<Loaded, TapError> {
    let size = u32::try_from(buffer.clamp(LEAST, MOST).next_power_of_two()).unwrap_or(1 << 30);
    let mut programs = EbpfLoader::new()
        .map_max_entries("RECORDS", size)
        .load(observer_ebpf::OBJECT)
        .map_err(|error| failed(&error))?;
    for name in ["ethernet", "bare"] {
        classifier(&mut programs, name)?.load().map_err(|error| failed(&error))?;
    }
    watch_owners(&mut programs);
    let ring = RingBuf::try_from(map(&mut programs, "RECORDS")?).map_err(|error| failed(&error))?;
    let counts = Array::try_from(map(&mut programs, "COUNTS")?).map_err(|error| failed(&error))?;
    let demands = HashMap::try_from(map(&mut programs, "DEMANDS")?).map_err(|error| failed(&error))?;
    let flows = HashMap::try_from(map(&mut programs, "FLOWS")?).map_err(|error| failed(&error))?;
    let talks = HashMap::try_from(map(&mut programs, "TALKS")?).map_err(|error| failed(&error))?;
    let mut epoch = Array::try_from(map(&mut programs, "EPOCH")?).map_err(|error| failed(&error))?;
    let share = u64::from(ordinary.div_ceil(SLICES));
    epoch.set(0, Epoch { share, ..Epoch::default() }, 0).map_err(|error| failed(&error))?;
    let left = Array::try_from(map(&mut programs, "LEFT")?).map_err(|error| failed(&error))?;
    Ok(Loaded { ring_fd: ring.as_raw_fd(), ring, counts, demands, flows, talks, epoch, left, programs })
}

/// Has the kernel tell who sends. Where it does not, as it lacks the tracepoint or its own types, joins do without.
fn watch_owners(programs: &mut Ebpf) -> Option<()> {
    let types = Btf::from_sys_fs().ok()?;
    let program: &mut BtfTracePoint = programs.program_mut("sent")?.try_into().ok()?;
    program.load("sock_send_length", &types).ok()?;
    program.attach().ok().map(drop)
}

/// One of its programs.
pub(super) fn classifier<'a>(programs: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier, TapError> {
    let program = programs.program_mut(name).ok_or_else(|| missing(name))?;
    program.try_into().map_err(|error: ProgramError| failed(&error))
}

fn map(programs: &mut Ebpf, name: &str) -> Result<aya::maps::Map, TapError> {
    programs.take_map(name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> TapError {
    TapError::Ebpf { why: format!("the embedded object has no {name}: build again") }
}

/// Whether the kernel refused for want of privileges.
pub(super) fn is_refused(error: &(dyn Error + 'static)) -> bool {
    // To who has all of them, the verifier says that the program is wrong.
    let needed = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON];
    let has_all = needed.into_iter().all(|one| caps::has_cap(None, CapSet::Effective, one).unwrap_or(false));
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    !has_all && causes(error).any(|cause| cause.downcast_ref().is_some_and(refused))
}

/// Whether the kernel does not know what it was asked for.
pub(super) fn is_unknown(error: &(dyn Error + 'static)) -> bool {
    causes(error)
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::InvalidInput))
}

/// Why the kernel did not take it.
pub(super) fn failed(error: &(dyn Error + 'static)) -> TapError {
    if is_refused(error) {
        return TapError::EbpfNotPermitted;
    }
    TapError::Ebpf { why: why(error) }
}

/// The innermost cause; of the verifier's words the last ones, which tell.
pub(super) fn why(error: &(dyn Error + 'static)) -> String {
    let text = match causes(error).find_map(|cause| cause.downcast_ref()) {
        Some(ProgramError::LoadError { io_error, verifier_log }) => {
            let log = verifier_log.to_string();
            let counts = ["processed", "stack depth", "verification time"];
            let tells = |line: &&str| !line.is_empty() && !counts.iter().any(|count| line.starts_with(count));
            let words = log.lines().rev().find(tells);
            format!("the kernel refuses the program: {io_error}: {}", words.unwrap_or("without a reason"))
        }
        _ => causes(error).last().map(ToString::to_string).unwrap_or_default(),
    };
    text.replace('\n', " ")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// What a user who may not load it can do. The path is that of this very program.
#[must_use]
pub fn permission() -> String {
    let program = std::env::current_exe().map_or_else(|_| "observer".to_owned(), |path| path.display().to_string());
    let names = CAPABILITIES.map(str::to_lowercase).join(",");
    format!("allow it once with `sudo setcap {names}+ep {program}`, or run `sudo {program} live`")
}
