//! What the table counts.

/// Counters of the table.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counts {
    /// Connections seen.
    pub connections: u64,
    /// Connections in the table.
    pub open: u64,
    /// Gaps told to readers.
    pub gaps: u64,
    /// Bytes in them.
    pub gap_bytes: u64,
    /// Segments cut by the snapshot length.
    pub cut: u64,
    /// Connections thrown out.
    pub evictions: u64,
}
