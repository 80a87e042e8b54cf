//! The name of a connection in the table: both endpoints in a fixed order, whoever sent the frame.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Both ends of a connection, the lower one first. 36 bytes, IPv4 in mapped form (RFC 4291 2.5.5.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Key([[u8; 18]; 2]);

impl Key {
    /// The key of a segment, and whether its source is the lower end.
    pub(super) fn new(source: SocketAddr, destination: SocketAddr) -> (Self, bool) {
        let (source, destination) = (pack(source), pack(destination));
        if source <= destination { (Self([source, destination]), true) } else { (Self([destination, source]), false) }
    }

    /// The lower end, then the higher one.
    pub(super) fn ends(&self) -> [SocketAddr; 2] {
        self.0.map(unpack)
    }
}

fn pack(address: SocketAddr) -> [u8; 18] {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut packed = [0; 18];
    packed[..16].copy_from_slice(&ip.octets());
    packed[16..].copy_from_slice(&address.port().to_be_bytes());
    packed
}

fn unpack(packed: [u8; 18]) -> SocketAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&packed[..16]);
    SocketAddr::new(Ipv6Addr::from(octets).to_canonical(), u16::from_be_bytes([packed[16], packed[17]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_key() {
        let (a, b) = ("10.0.0.1:53012".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap());
        let (there, low) = Key::new(a, b);
        let (back, high) = Key::new(b, a);
        assert_eq!(there, back);
        assert_ne!(low, high);
        let mut ends = there.ends();
        ends.sort();
        assert_eq!(ends, [a, b]);
    }
}
