//! What things cost on the heap, as an allocator hands it out: limits are held by what is resident, not by what is used.

use super::event::{Attempt, Body, Field, FirstBytes, Hop, Mixup, ProxyHeader, Reply, Request, Response};

/// A block of so many bytes: rounded up, with a word beside it.
pub(super) const fn block(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=24 => 32,
        _ => (bytes + 8).next_multiple_of(16),
    }
}

fn fields(fields: &[Field]) -> usize {
    let texts: usize = fields.iter().map(|field| block(field.name.len()) + block(field.value.len())).sum();
    texts + block(size_of_val(fields))
}

impl Request {
    /// Bytes that it refers to.
    pub(super) fn memory(&self) -> usize {
        block(self.method.len()) + block(self.target.len()) + fields(&self.fields)
    }
}

impl Response {
    /// Bytes that it refers to.
    pub(super) fn memory(&self) -> usize {
        block(self.reason.len()) + fields(&self.fields) + self.body.as_ref().map_or(0, Body::memory)
    }
}

impl Body {
    /// Bytes that it refers to.
    fn memory(&self) -> usize {
        match self {
            Self::Text(text) | Self::Coded(text) => block(text.len()),
            Self::Binary => 0,
        }
    }
}

impl FirstBytes {
    /// Bytes that it refers to.
    pub(super) fn memory(&self) -> usize {
        block(self.bytes.len())
    }
}

impl ProxyHeader {
    /// Bytes that it refers to.
    pub(super) fn memory(&self) -> usize {
        block(self.line.as_ref().map_or(0, |line| line.len()))
    }
}

impl Mixup {
    /// Bytes that it refers to.
    pub(super) fn memory(&self) -> usize {
        self.client.memory() + if let Reply::Bytes(first) = &self.server { first.memory() } else { 0 }
    }
}

impl Hop {
    /// Bytes that it refers to.
    fn memory(&self) -> usize {
        self.request.as_ref().map_or(0, Request::memory)
            + self.response.as_ref().map_or(0, Response::memory)
            + self.not_http.as_ref().map_or(0, FirstBytes::memory)
            + self.proxy_header.as_ref().map_or(0, ProxyHeader::memory)
    }
}

impl Attempt {
    /// All that it costs, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let hops: usize = self.hops.iter().map(Hop::memory).sum();
        block(size_of::<Self>()) + block(self.upgrade.len()) + block(size_of_val(&*self.hops)) + hops
    }
}
