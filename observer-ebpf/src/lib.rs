//! The record layout that the kernel program and user space share (`no_std`, `repr(C)`).
//!
//! Empty until the kernel program exists: a layout without a writer would be a guess.
#![no_std]
