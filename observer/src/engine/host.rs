//! Which ends of connections are on one host. Nothing else compares addresses to answer that.
//!
//! An address names one host only within a realm. A loopback address (RFC 1122 3.2.1.3, RFC 4291 2.5.3) never leaves its
//! machine: all of a machine's loopback addresses are one host, and those of another machine are another. Two addresses of
//! one machine, such as 10.0.0.5 and 127.0.0.1, are two hosts here, as nothing in their frames says that they are one.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// A space of addresses in which one address is one host. The default is the network that all captures share, and the
/// machine of the first of them; each other machine has one for what never leaves it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Realm(pub u32);

/// A host: who has an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Host {
    realm: Realm,
    /// Without zone; for all loopback addresses the same one.
    ip: IpAddr,
}

/// Address and port of a host (a socket, RFC 9293 3.3.1): an end of connections.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Socket {
    realm: Realm,
    address: SocketAddr,
}

impl Realm {
    /// This one where an address is a machine's own, and the shared one elsewhere.
    #[inline]
    #[must_use]
    pub fn of(self, ip: IpAddr) -> Self {
        if self != Self::default() && is_loopback(ip) { self } else { Self::default() }
    }
}

impl Host {
    /// Who has an address that was seen by a machine of `realm`.
    #[inline]
    #[must_use]
    pub fn of(ip: IpAddr, realm: Realm) -> Self {
        if is_loopback(ip) {
            Self { realm, ip: IpAddr::V4(Ipv4Addr::LOCALHOST) }
        } else {
            Self { realm: Realm::default(), ip }
        }
    }

    /// Whether both may be one machine: one host, or what two captures call their own.
    #[must_use]
    pub fn may_be(self, other: Self) -> bool {
        self.ip == other.ip
    }

    /// A number that is the same for the same host, and mostly another one for another.
    #[inline]
    pub(super) fn mixed(self) -> u32 {
        let ip = match self.ip {
            IpAddr::V4(ip) => ip.to_bits(),
            IpAddr::V6(ip) => {
                let [a, b, c, d] = [96, 64, 32, 0].map(|shift| (ip.to_bits() >> shift) & u128::from(u32::MAX));
                u32::try_from(a ^ b ^ c ^ d).unwrap_or(0)
            }
        };
        ip ^ self.realm.0
    }
}

impl Socket {
    /// The address and port that a machine of `realm` saw.
    #[inline]
    #[must_use]
    pub fn of(address: SocketAddr, realm: Realm) -> Self {
        Self { realm: realm.of(address.ip()), address }
    }

    /// Its host.
    #[inline]
    #[must_use]
    pub fn host(self) -> Host {
        Host::of(self.address.ip(), self.realm)
    }

    /// As it stands in frames.
    #[must_use]
    pub const fn address(self) -> SocketAddr {
        self.address
    }
}

#[inline]
fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip.fmt(f)
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(ip: &str, realm: u32) -> Host {
        Host::of(ip.parse().unwrap(), Realm(realm))
    }

    #[test]
    fn all_loopback_addresses_of_one_machine_are_one_host() {
        for alias in ["127.0.0.1", "127.0.0.2", "127.255.0.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(host(alias, 0), host("127.0.0.1", 0), "{alias}");
            assert_ne!(host(alias, 1), host("127.0.0.1", 0), "{alias}");
            assert!(host(alias, 1).may_be(host("127.0.0.1", 0)), "{alias}");
            assert_ne!(host(alias, 0), host("10.0.0.5", 0), "{alias}");
        }
    }

    #[test]
    fn other_addresses_mean_the_same_host_to_all() {
        assert_eq!(host("10.0.0.5", 1), host("10.0.0.5", 0));
        assert_eq!(host("fd00::5", 1), host("fd00::5", 0));
        assert!(!host("10.0.0.5", 1).may_be(host("10.0.0.6", 1)));
    }

    #[test]
    fn a_socket_is_one_port_of_one_address() {
        let socket = |address: &str, realm| Socket::of(address.parse().unwrap(), Realm(realm));
        assert_ne!(socket("127.0.0.1:80", 0), socket("127.0.0.2:80", 0));
        assert_ne!(socket("127.0.0.1:80", 0), socket("127.0.0.1:80", 1));
        assert_eq!(socket("10.0.0.5:80", 0), socket("10.0.0.5:80", 1));
        assert_eq!(socket("127.0.0.2:80", 1).host(), host("::1", 1));
    }
}
