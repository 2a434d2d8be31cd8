//! The running process: what is started in which order, who watches over it, and how it ends.
//!
//! Invariants: all listeners are bound before `ready` is said; a maintenance task that ends
//! before its time ends the process with an error; the mirror's cursors are written before the
//! leases under which they may be written are given back.

mod configured;
mod cuts;
mod entrances;
mod error;
mod facts;
mod gateway;
mod listeners;
mod maintenance;
mod open_files;
mod parts;
mod schema;
mod signals;
mod states;
mod targets;
mod tasks;
mod usage;

pub use error::{RunError, StartError};
pub use gateway::{Addresses, Gateway, Options};
pub use open_files::raise_open_files;
pub use signals::{Abort, shutdown_signal};
pub use usage::UsageWriter;
