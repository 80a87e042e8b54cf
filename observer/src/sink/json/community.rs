//! Community ID 1, with seed 0: the same name for a connection that Zeek and Suricata give it, so that logs can be
//! joined. Written from <https://github.com/corelight/community-id-spec>.

use std::net::{IpAddr, SocketAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

const TCP: u8 = 6;

/// The id of a TCP connection, the same from either end.
pub(super) fn id(one: SocketAddr, other: SocketAddr) -> String {
    let (low, high) = if (one.ip(), one.port()) <= (other.ip(), other.port()) { (one, other) } else { (other, one) };
    let mut hash = Sha1::new();
    hash.update(0_u16.to_be_bytes());
    address(&mut hash, low.ip());
    address(&mut hash, high.ip());
    hash.update([TCP, 0]);
    hash.update(low.port().to_be_bytes());
    hash.update(high.port().to_be_bytes());
    format!("1:{}", STANDARD.encode(hash.finalize()))
}

fn address(hash: &mut Sha1, address: IpAddr) {
    match address {
        IpAddr::V4(address) => hash.update(address.octets()),
        IpAddr::V6(address) => hash.update(address.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published baseline of the specification.
    #[test]
    fn a_known_connection_has_its_known_id() {
        let (one, other) = ("128.232.110.120:34855".parse().unwrap(), "66.35.250.204:80".parse().unwrap());
        assert_eq!(id(one, other), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(id(other, one), id(one, other));
    }
}
