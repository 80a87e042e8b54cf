//! Traffic as frames: taken apart and put together, mutated, damaged, shown to the engine, written to a file.
#![allow(dead_code, reason = "each test program uses a part")]

pub mod damage;
pub mod message;
pub mod mutate;
pub mod net;
pub mod noise;
pub mod observe;
pub mod pcap;
pub mod random;
pub mod wire;
