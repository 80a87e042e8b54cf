//! The feed from outside: readers that are slow or stuck, logs that are rotated, disks that are full, storms, scrapers.
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]
#![allow(clippy::disallowed_methods, reason = "a test of real programs waits in real time")]
