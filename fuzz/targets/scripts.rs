//! See [`bodies::scripts`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::scripts(bytes));
