//! See [`bodies::heads`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::heads(bytes));
