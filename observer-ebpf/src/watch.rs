//! The classifiers, and which packets they ship.

use aya_ebpf::{bindings::TC_ACT_UNSPEC, macros::classifier, programs::TcContext};
use observer_ebpf::{count, flag};

use crate::{
    keep,
    packet::{self, Packet, Segment},
    ship,
    talk::{self, Fate},
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
    if segment.length == 0 && !segment.begins_or_ends() {
        return;
    }
    if segment.opens() {
        keep::forget(&segment.connection);
        talk::forget(&segment.connection);
    }
    let fate = talk::fate(context, segment);
    match fate {
        Fate::LeaveOut => return,
        Fate::ShipHeaders => return ship::headers(context, segment, None),
        Fate::Ship | Fate::ShipOfTalk => {}
    }
    let Some((demand, flows)) = keep::find(&segment.connection) else {
        if segment.length == 0 {
            return ship::headers(context, segment, None);
        }
        ship::whole(context, segment, None);
        if keep::upgraded(context, segment) {
            talk::forget(&segment.connection);
        }
        return;
    };
    if fate == Fate::ShipOfTalk {
        // From now on payload is left out by demand.
        talk::forget(&segment.connection);
    }
    let flow = &mut flows.flows[segment.flow & 1];
    let ships = segment.length > 0 && keep::ships(context, segment, &demand.flows[segment.flow & 1], flow);
    let is_left_out = !ships && !segment.begins_or_ends();
    if is_left_out && flow.flags & flag::FAR == 0 {
        return;
    }
    keep::tell(&segment.connection, flows);
    if is_left_out {
        return;
    }
    let flow = Some(&flows.flows[segment.flow & 1]);
    if ships { ship::whole(context, segment, flow) } else { ship::headers(context, segment, flow) }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
