//! The name of a connection in the table: both endpoints in a fixed order, whoever sent the frame.

use std::{
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use crate::engine::{host::Realm, memory::block};

/// Both ends of a connection, the lower one first. 40 bytes, made and looked up for every segment: so they are in words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key {
    /// IPv4 in mapped form (RFC 4291 2.5.5.2).
    ips: [[u32; 4]; 2],
    ports: [u16; 2],
    /// The machine, where its own addresses name it.
    realm: Realm,
}

/// A key as its connection keeps it. 16 bytes where the ends are IPv4's in the default realm: there may be a million of them.
#[derive(Debug)]
pub(super) enum Kept {
    V4 { ips: [u32; 2], ports: [u16; 2] },
    Other(Box<Key>),
}

impl Kept {
    #[inline]
    pub(super) fn key(&self) -> Key {
        match self {
            Self::V4 { ips, ports } => {
                let ips = ips.map(|ip| [MAPPED[0], MAPPED[1], MAPPED[2], ip]);
                Key { ips, ports: *ports, realm: Realm::default() }
            }
            Self::Other(key) => **key,
        }
    }

    /// The lower end (0), or the higher one (1).
    #[inline]
    pub(super) fn end(&self, side: usize) -> SocketAddr {
        match self {
            Self::V4 { ips, ports } => SocketAddr::new(Ipv4Addr::from_bits(ips[side]).into(), ports[side]),
            Self::Other(key) => key.end(side),
        }
    }

    /// The realm of its ends.
    #[inline]
    pub(super) fn realm(&self) -> Realm {
        if let Self::Other(key) = self { key.realm } else { Realm::default() }
    }

    /// Bytes that it refers to.
    pub(super) fn memory(&self) -> usize {
        if let Self::Other(key) = self { block(size_of_val(&**key)) } else { 0 }
    }
}

impl From<Key> for Kept {
    fn from(key: Key) -> Self {
        match key.ips {
            [[a, b, c, low], [d, e, f, high]]
                if [a, b, c] == MAPPED && [d, e, f] == MAPPED && key.realm == Realm::default() =>
            {
                Self::V4 { ips: [low, high], ports: key.ports }
            }
            _ => Self::Other(Box::new(key)),
        }
    }
}

/// The upper words of an IPv4 address in mapped form.
const MAPPED: [u32; 3] = [0, 0, 0xffff];

impl Key {
    /// The key of a segment that a machine of `realm` saw, and whether its source is the lower end.
    #[inline]
    pub(super) fn new(source: SocketAddr, destination: SocketAddr, realm: Realm) -> (Self, bool) {
        // NAT may leave a machine's own address at one end only.
        let realm = realm.of(source.ip()).max(realm.of(destination.ip()));
        let (source, destination) =
            ((words(source.ip()), source.port()), (words(destination.ip()), destination.port()));
        let is_low = source <= destination;
        let ((low, low_port), (high, high_port)) = if is_low { (source, destination) } else { (destination, source) };
        (Self { ips: [low, high], ports: [low_port, high_port], realm }, is_low)
    }

    /// The lower end, then the higher one.
    #[inline]
    pub(super) fn ends(&self) -> [SocketAddr; 2] {
        [self.end(0), self.end(1)]
    }

    fn end(&self, side: usize) -> SocketAddr {
        SocketAddr::new(address(self.ips[side]), self.ports[side])
    }
}

impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let [[a, b, c, d], [e, f, g, h]] = self.ips;
        for word in [pair(a, b), pair(c, d), pair(e, f), pair(g, h)] {
            state.write_u64(word);
        }
        let ports = u32::from(self.ports[0]) << 16 | u32::from(self.ports[1]);
        state.write_u64(pair(self.realm.0, ports));
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let ends = |key: &Self| ([(key.ips[0], key.ports[0]), (key.ips[1], key.ports[1])], key.realm);
        ends(self).cmp(&ends(other))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[inline]
fn words(ip: IpAddr) -> [u32; 4] {
    match ip {
        IpAddr::V4(ip) => [MAPPED[0], MAPPED[1], MAPPED[2], ip.to_bits()],
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h] = ip.segments().map(u32::from);
            [a << 16 | b, c << 16 | d, e << 16 | f, g << 16 | h]
        }
    }
}

#[inline]
fn address([a, b, c, d]: [u32; 4]) -> IpAddr {
    if [a, b, c] == MAPPED {
        return Ipv4Addr::from_bits(d).into();
    }
    Ipv6Addr::from_bits(u128::from(a) << 96 | u128::from(b) << 64 | u128::from(c) << 32 | u128::from(d)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_key() {
        let (a, b) = ("10.0.0.1:53012".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap());
        let (there, low) = Key::new(a, b, Realm::default());
        let (back, high) = Key::new(b, a, Realm::default());
        assert_eq!(there, back);
        assert_ne!(low, high);
        let mut ends = there.ends();
        ends.sort();
        assert_eq!(ends, [a, b]);
    }

    #[test]
    fn the_lower_end_is_that_with_the_lower_address_then_port() {
        let order = ["[::1]:9", "10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:1", "[2001:db8::1]:1", "[2001:db8::1:0]:1"];
        for pair in order.windows(2) {
            let ends = [pair[0], pair[1]].map(|end| end.parse().unwrap());
            for realm in [Realm(0), Realm(7)] {
                let key = Key::new(ends[0], ends[1], realm).0;
                assert_eq!(Key::new(ends[1], ends[0], realm), (key, false));
                let kept = Kept::from(key);
                assert_eq!(([kept.end(0), kept.end(1)], kept.key(), kept.realm()), (ends, key, key.realm));
            }
        }
    }

    #[test]
    fn only_a_machines_own_addresses_have_its_realm() {
        let key = |ip: [u8; 4], realm| Key::new((ip, 50_000).into(), (ip, 80).into(), Realm(realm)).0;
        assert_ne!(key([127, 0, 0, 1], 0), key([127, 0, 0, 1], 1));
        assert_eq!(key([10, 0, 0, 1], 0), key([10, 0, 0, 1], 1));
    }
}
