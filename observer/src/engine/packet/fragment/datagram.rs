//! One fragmented datagram: which bytes of it came, and whether they agree.

use std::ops::Range;

use etherparse::IpNumber;

use crate::engine::packet::{Unread, View, ip::Fragment};

/// The longest datagram (RFC 791 3.1).
const MAX_LENGTH: usize = 65_535;

/// Fragments that bring something new, at most; 46 make the longest datagram over Ethernet.
const MAX_FRAGMENTS: usize = 64;

/// The memory of both lists of ranges at their longest, in bytes.
pub(super) const MAX_RANGES_COST: usize = 2 * MAX_FRAGMENTS * size_of::<Range<usize>>();

/// What a fragment did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Added {
    /// The datagram waits for more, or was decided before.
    Waits,
    /// All of it has been seen.
    Completes,
    /// It can not be part of this datagram, which is therefore dropped.
    Contradicts,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    Whole,
    Dropped,
}

#[derive(Debug)]
pub(super) struct Datagram {
    serial: u64,
    state: State,
    protocol: IpNumber,
    /// Fragments that brought something new.
    fragments: usize,
    bytes: Vec<u8>,
    /// Which of `bytes` were captured.
    captured: Ranges,
    /// What was on the wire: more than was captured when fragments were cut.
    covered: Ranges,
    /// Its length, once the last fragment was seen.
    total: Option<usize>,
}

/// Refuses a fragment that can be part of no datagram.
pub(super) fn check(fragment: &Fragment, payload: View<'_>) -> Result<(), Unread> {
    if payload.wire == 0 || (fragment.more && !payload.wire.is_multiple_of(8)) {
        return Err(Unread::Malformed("fragment length"));
    }
    if fragment.offset + payload.wire > MAX_LENGTH {
        return Err(Unread::Malformed("fragment beyond 64 KiB"));
    }
    Ok(())
}

impl Datagram {
    pub(super) fn new(serial: u64, protocol: IpNumber) -> Self {
        Self {
            serial,
            state: State::Open,
            protocol,
            fragments: 0,
            bytes: Vec::new(),
            captured: Ranges::default(),
            covered: Ranges::default(),
            total: None,
        }
    }

    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Bytes of buffer.
    pub(super) fn buffered(&self) -> usize {
        self.bytes.capacity()
    }

    /// Protocol and bytes, when all fragments have come. Its payload ends where the first one was cut.
    pub(super) fn whole(&self) -> Option<(IpNumber, View<'_>)> {
        let wire = self.total.filter(|_| self.state == State::Whole)?;
        let captured = self.captured.first().filter(|range| range.start == 0).map_or(0, |range| range.end);
        Some((self.protocol, View { bytes: self.bytes.get(..captured)?, wire }))
    }

    /// Whether this is whole already and the fragment is no copy of a part of it, but the start of another datagram.
    pub(super) fn is_reused_by(&self, fragment: &Fragment, payload: View<'_>) -> bool {
        self.state == State::Whole && !self.agrees(fragment, payload)
    }

    pub(super) fn add(&mut self, fragment: &Fragment, payload: View<'_>) -> Added {
        if self.state != State::Open {
            return Added::Waits;
        }
        if !self.agrees(fragment, payload) {
            return self.drop_all();
        }
        let start = fragment.offset;
        let captured = start..start + payload.bytes.len();
        let covered = start..start + payload.wire;
        if self.captured.contains(&captured) && self.covered.contains(&covered) {
            return self.decide(fragment, covered.end);
        }
        self.fragments += 1;
        if self.fragments > MAX_FRAGMENTS {
            return self.drop_all();
        }
        if start == 0 {
            self.protocol = fragment.protocol;
        }
        self.keep(captured, payload.bytes);
        self.covered.insert(covered.clone());
        self.decide(fragment, covered.end)
    }

    /// Whether lengths fit, and bytes seen twice are the same.
    fn agrees(&self, fragment: &Fragment, payload: View<'_>) -> bool {
        let end = fragment.offset + payload.wire;
        let fits = match self.total {
            Some(total) if fragment.more => end < total,
            Some(total) => end == total,
            None => fragment.more || self.covered.end() <= end,
        };
        fits && self.captured.iter().all(|range| {
            let start = range.start.max(fragment.offset);
            let end = range.end.min(fragment.offset + payload.bytes.len());
            start >= end
                || self.bytes.get(start..end) == payload.bytes.get(start - fragment.offset..end - fragment.offset)
        })
    }

    fn keep(&mut self, place: Range<usize>, bytes: &[u8]) {
        if place.is_empty() {
            return;
        }
        if place.end > self.bytes.len() {
            self.bytes.reserve_exact(place.end - self.bytes.len());
            self.bytes.resize(place.end, 0);
        }
        if let Some(kept) = self.bytes.get_mut(place.clone()) {
            kept.copy_from_slice(bytes);
        }
        self.captured.insert(place);
    }

    fn decide(&mut self, fragment: &Fragment, end: usize) -> Added {
        if !fragment.more {
            self.total = Some(end);
        }
        match self.total {
            Some(total) if self.covered.contains(&(0..total)) => {
                self.state = State::Whole;
                Added::Completes
            }
            _ => Added::Waits,
        }
    }

    fn drop_all(&mut self) -> Added {
        self.state = State::Dropped;
        self.bytes = Vec::new();
        self.captured = Ranges::default();
        self.covered = Ranges::default();
        Added::Contradicts
    }
}

/// Ranges in order that neither overlap nor touch.
#[derive(Default, Debug)]
struct Ranges(Vec<Range<usize>>);

impl Ranges {
    fn insert(&mut self, mut new: Range<usize>) {
        let first = self.0.partition_point(|range| range.end < new.start);
        let last = self.0.partition_point(|range| range.start <= new.end);
        if let Some(touched) = self.0.get(first..last).filter(|touched| !touched.is_empty()) {
            new.start = new.start.min(touched[0].start);
            new.end = new.end.max(touched[touched.len() - 1].end);
        }
        self.0.splice(first..last, [new]);
    }

    fn contains(&self, wanted: &Range<usize>) -> bool {
        wanted.is_empty() || self.0.iter().any(|range| range.start <= wanted.start && wanted.end <= range.end)
    }

    fn first(&self) -> Option<&Range<usize>> {
        self.0.first()
    }

    fn end(&self) -> usize {
        self.0.last().map_or(0, |range| range.end)
    }

    fn iter(&self) -> impl Iterator<Item = &Range<usize>> {
        self.0.iter()
    }
}
