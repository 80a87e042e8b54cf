//! Passive observation of WebSocket and HTTP Upgrade handshakes through a reverse proxy.
//!
//! [`engine`] turns captured frames into events and is pure: no clock, no IO, no async. Everything that touches the
//! outside world (files, terminals, arguments) is behind the feature `app`.

#[cfg(feature = "app")]
pub mod advice;
pub mod engine;
#[cfg(feature = "app")]
pub mod sink;
#[cfg(feature = "app")]
pub mod tap;
