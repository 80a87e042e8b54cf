//! See [`bodies::records`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::records(bytes));
