//! The embedded broker: mqtt5 in this process, for those who run no broker of their own.
//!
//! Invariants: nobody but the gateway publishes anything, so nothing that a subscriber receives
//! was written by another client; everything is in memory and bounded by `[broker]`, sessions of
//! those who are away among it; the listeners
//! are bound before anybody is told that the gateway is ready. The mirror feeds it over loopback TCP
//! as it feeds any broker.

mod embedded;
mod gate;
mod granted;
mod sessions;
mod watcher;

pub use embedded::{Addresses, BindError, EmbeddedBroker, StoppedEarly};
pub use gate::{GATEWAY_USER, GatewayLogin};
