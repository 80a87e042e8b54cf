//! The classifiers, and which packets they ship.

use aya_ebpf::{bindings::TC_ACT_UNSPEC, macros::classifier, programs::TcContext};
use observer_ebpf::count;

use crate::{
    packet::{self, Packet, Segment},
    ship,
};

/// On interfaces with an Ethernet header, loopback too.
#[classifier]
pub(crate) fn ethernet(context: TcContext) -> i32 {
    watch(&context, packet::ethernet(&context), 14)
}

/// On interfaces without a link layer: tunnels.
#[classifier]
pub(crate) fn bare(context: TcContext) -> i32 {
    watch(&context, packet::ip(&context, 0), 0)
}

#[inline(always)]
fn watch(context: &TcContext, packet: Packet, network: u32) -> i32 {
    match packet {
        Packet::Other => {}
        Packet::Unread => ship::count(count::UNREAD, 1),
        Packet::Opaque => ship::opaque(context, network),
        Packet::Segment(segment) => flow(context, &segment),
    }
    TC_ACT_UNSPEC
}

#[inline(always)]
fn flow(context: &TcContext, segment: &Segment) {
    if segment.length > 0 {
        ship::whole(context, segment);
    } else if segment.begins_or_ends() {
        ship::headers(context, segment);
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
