//! The embedded broker: mqtt5 in this process, for those who run no broker of their own.
//!
//! Invariants: nobody but the gateway publishes anything, so nothing that a subscriber receives
//! was written by another client; everything is in memory and bounded by `[broker]`, sessions of
//! those who are away among it; what has not said yet who it is holds up nobody; the listeners
//! are bound before anybody is told that the gateway is ready. The mirror feeds it over loopback TCP
//! as it feeds any broker.

mod embedded;
mod engine;
mod first_packet;
mod front;
mod gate;
mod granted;
mod sessions;
mod visit;
mod waiting;
mod watcher;
mod websocket;

pub use embedded::{Addresses, BindError, EmbeddedBroker};
pub use gate::{GATEWAY_USER, GatewayLogin};
