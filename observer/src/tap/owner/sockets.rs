//! One TCP socket of this network namespace by its two ends, from the kernel's own table (sock_diag(7)): one question, one
//! answer, however many sockets there are.

use std::{io, net::SocketAddr, os::fd::OwnedFd};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_LISTEN, TCP_SYN_RECV},
    inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags},
};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};

/// Says "any socket with these ends".
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// What the kernel says of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Socket {
    /// There is none here: it is closed, or of another host or namespace.
    Absent,
    /// No process has accepted it yet.
    Unaccepted,
    /// It is this inode of the socket file system.
    Inode(u64),
}

/// A line to the kernel.
pub(super) struct Sockets {
    netlink: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Sockets {
    pub(super) fn open() -> io::Result<Self> {
        let protocol = Some(netlink::SOCK_DIAG);
        let netlink = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, protocol)?;
        Ok(Self { netlink, sequence: 0, buffer: vec![0; 8192] })
    }

    /// The socket whose own end is `local`.
    pub(super) fn find(&mut self, local: SocketAddr, peer: SocketAddr) -> io::Result<Socket> {
        self.sequence = self.sequence.wrapping_add(1);
        send(&self.netlink, &request(local, peer, self.sequence), SendFlags::empty())?;
        loop {
            // The kernel answers before `send` returns.
            let (_, length) = recv(&self.netlink, &mut self.buffer[..], RecvFlags::DONTWAIT)?;
            let answer = self.buffer.get(..length).unwrap_or_default();
            let Ok(message) = NetlinkMessage::<SockDiagMessage>::deserialize(answer) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            if message.header.sequence_number == self.sequence {
                return Ok(match message.payload {
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                        read(&response.header, local, peer)
                    }
                    _ => Socket::Absent,
                });
            }
        }
    }
}

fn request(local: SocketAddr, peer: SocketAddr, sequence: u32) -> Vec<u8> {
    let socket_id = SocketId {
        source_port: local.port(),
        destination_port: peer.port(),
        source_address: local.ip(),
        destination_address: peer.ip(),
        interface_id: 0,
        cookie: NO_COOKIE,
    };
    let request = InetRequest {
        family: if local.is_ipv4() { AF_INET } else { AF_INET6 },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id,
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Where there is no such connection, the kernel answers with the listener that one would reach.
fn read(header: &InetResponseHeader, local: SocketAddr, peer: SocketAddr) -> Socket {
    let id = &header.socket_id;
    // An IPv6 socket may carry IPv4.
    let source = SocketAddr::new(id.source_address.to_canonical(), id.source_port);
    let destination = SocketAddr::new(id.destination_address.to_canonical(), id.destination_port);
    let same = (source, destination) == (local, peer) && header.state != TCP_LISTEN;
    match (header.inode, header.state) {
        _ if !same => Socket::Absent,
        (0, TCP_ESTABLISHED | TCP_SYN_RECV | TCP_CLOSE_WAIT) => Socket::Unaccepted,
        // Its process has closed it.
        (0, _) => Socket::Absent,
        (inode, _) => Socket::Inode(u64::from(inode)),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd,
    };

    use super::*;

    fn inode(socket: &impl AsRawFd) -> Socket {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
        let digits: String = link.to_str().unwrap().chars().filter(char::is_ascii_digit).collect();
        Socket::Inode(digits.parse().unwrap())
    }

    fn check(listen: &str, connect: &str) {
        let mut sockets = Sockets::open().unwrap();
        let listener = TcpListener::bind((listen, 0)).unwrap();
        let client = TcpStream::connect((connect, listener.local_addr().unwrap().port())).unwrap();
        let (near, far) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        assert_eq!(sockets.find(near, far).unwrap(), inode(&client));
        assert_eq!(sockets.find(far, near).unwrap(), Socket::Unaccepted);
        let (server, _) = listener.accept().unwrap();
        assert_eq!(sockets.find(far, near).unwrap(), inode(&server));
        let nobody = SocketAddr::new(near.ip(), 1);
        assert_eq!(sockets.find(far, nobody).unwrap(), Socket::Absent, "the listener is not a connection");
    }

    #[test]
    fn a_socket_is_found_by_its_ends() {
        check("127.0.0.1", "127.0.0.1");
        check("::1", "::1");
        check("::", "127.0.0.1");
    }
}
