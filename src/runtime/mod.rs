//! The running process: what is started in which order, who watches over it, and how it ends.
//!
//! Invariants: all listeners are bound before `ready` is said; a maintenance task that ends
//! before its time ends the process with an error; the mirror's cursors are written before the
//! leases under which they may be written are given back.

mod gateway;
mod signals;
mod tasks;

pub use gateway::{Addresses, Gateway, Options, RunError, StartError};
pub use signals::{Abort, shutdown_signal};
