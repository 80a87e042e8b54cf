//! See [`bodies::frames`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::frames(bytes));
