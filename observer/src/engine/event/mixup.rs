//! A connection whose two sides speak different protocols: nothing can be asked for on it.

use super::{FirstBytes, Protocol, Timestamp};

/// What both sides of such a connection said first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mixup {
    /// What the client said.
    pub client: FirstBytes,
    /// What it got.
    pub server: Reply,
}

/// What a client got that the server did not understand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// These bytes, of another protocol.
    Bytes(FirstBytes),
    /// FIN, without a byte. A server that speaks TLS may do that as well, where it does not like the ClientHello.
    Closed(Timestamp),
    /// RST, without a byte.
    Reset(Timestamp),
}

impl Mixup {
    /// Whether a client spoke TLS, and not to a server that does.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.client.protocol() == Some(Protocol::Tls)
    }

    /// When it was seen.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match &self.server {
            Reply::Bytes(first) => first.at,
            Reply::Closed(at) | Reply::Reset(at) => *at,
        }
    }
}

impl Reply {
    /// The status, where it is an HTTP/1 response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Bytes(first) => first.status(),
            Self::Closed(_) | Self::Reset(_) => None,
        }
    }
}
