//! Which process holds a socket: told once, when it sends for the first time, since then it runs in its own context.
//! The socket is named by its cookie, as frames of it are.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_get_socket_cookie, bpf_skc_to_tcp_sock},
    macros::{btf_tracepoint, map},
    maps::LruHashMap,
    programs::BtfTracePointContext,
};
use observer_ebpf::{Owner, Start, kind};

use crate::{ship, talk};

/// Sockets whose process was told. Who is pushed out is told again.
#[map]
static TOLD: LruHashMap<u64, u32> = LruHashMap::with_max_entries(1 << 14, 0);

/// After each sending.
#[btf_tracepoint(function = "sock_send_length")]
pub(crate) fn sent(context: BtfTracePointContext) -> i32 {
    if !talk::is_watched() {
        return 0;
    }
    let socket: *mut c_void = context.arg::<*const c_void>(0).cast_mut();
    // SAFETY: the socket is the kernel's.
    let cookie = unsafe {
        if bpf_skc_to_tcp_sock(socket).is_null() {
            return 0;
        }
        bpf_get_socket_cookie(socket)
    };
    if TOLD.get_ptr(cookie).is_some() || TOLD.insert(cookie, 0, 0).is_err() {
        return 0;
    }
    if let Ok(command) = context.command() {
        ship::owner(&Owner {
            start: Start { at: ship::now(), kind: kind::OWNER, interface: 0 },
            cookie,
            pid: context.tgid(),
            reserved: 0,
            command,
        });
    }
    0
}
