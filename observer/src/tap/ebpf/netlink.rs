//! Messages of rtnetlink(7), sent and received.

use std::io;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::Socket;

/// One message is at most so long, or the kernel says that it was cut.
pub(super) const LONGEST: usize = 64 << 10;

/// Sends a request.
pub(super) fn send(socket: &Socket, request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    // Without an address: it goes to the kernel, and the fence lets nothing be sent to one.
    socket.send(&bytes, 0).map(drop)
}

/// Receives once, and hands out the messages that came.
pub(super) fn receive(
    socket: &Socket,
    buffer: &mut [u8],
    mut each: impl FnMut(NetlinkPayload<RouteNetlinkMessage>),
) -> io::Result<()> {
    let size = socket.recv(&mut &mut buffer[..], 0)?;
    let mut rest = &buffer[..size.min(buffer.len())];
    while let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) {
        each(message.payload);
        // Messages are aligned to 4 bytes.
        let length = (message.header.length as usize).next_multiple_of(4);
        match rest.get(length..) {
            Some(after) if length > 0 && !after.is_empty() => rest = after,
            _ => break,
        }
    }
    Ok(())
}
