//! The kernel program: filters, copies, counts; it decides nothing. Each packet of an interface passes one of the
//! classifiers, which look and let it go on.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch), no_std, no_main)]
#![cfg_attr(target_arch = "bpf", expect(unsafe_code, reason = "the kernel's helpers take pointers"))]

#[cfg(target_arch = "bpf")]
mod follow;
#[cfg(target_arch = "bpf")]
mod keep;
#[cfg(target_arch = "bpf")]
mod owner;
#[cfg(target_arch = "bpf")]
mod packet;
#[cfg(target_arch = "bpf")]
mod scan;
#[cfg(target_arch = "bpf")]
mod ship;
#[cfg(target_arch = "bpf")]
mod talk;
#[cfg(target_arch = "bpf")]
mod watch;

/// Only the kernel runs this program: see `cargo xtask build-ebpf`.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
