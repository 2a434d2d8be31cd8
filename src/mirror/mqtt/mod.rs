//! The one place that knows the MQTT client library.
//!
//! Invariant: a connection lives once. On its first error client and event loop are dropped and
//! nothing of their state is carried over: rumqttc forgets or replays publishes on its own terms
//! when it reconnects itself. And its `poll` is never cancelled half-way: it takes a request,
//! notes its packet id and may wait for the socket before the packet is in the write buffer, so
//! a cancelled poll loses a publish that will never be acknowledged.

mod bridge;
mod driver;
mod endpoint;
mod entry;
pub mod files;
mod link;
mod route;
pub mod subscriber;
mod tls;
mod v311;
mod v5;

pub use endpoint::Endpoint;
pub use link::{Grant, Link, LinkOptions, NotSent, Signal};
pub use tls::client_config;
