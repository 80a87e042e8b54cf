//! Passive observation of WebSocket and HTTP Upgrade handshakes through a reverse proxy.
//!
//! [`engine`] turns captured frames into events and is pure: no clock, no IO, no async. Everything that touches the
//! outside world (files, terminals, arguments) is behind the feature `app`.

#[cfg(feature = "app")]
pub mod advice;
#[cfg(feature = "app")]
pub mod app;
#[cfg(feature = "app")]
pub mod cli;
#[cfg(feature = "app")]
pub mod config;
pub mod engine;
#[cfg(feature = "app")]
pub mod sink;
#[cfg(feature = "app")]
pub mod tap;
#[cfg(feature = "tui")]
pub mod tui;
