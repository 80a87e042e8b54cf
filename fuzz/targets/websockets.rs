//! See [`bodies::websockets`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::websockets(bytes));
