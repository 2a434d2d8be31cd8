//! The words of changeover as types: pure values without I/O.
//!
//! Everything above imports this room; it imports nothing of the crate. Invariant: a value that
//! exists is valid, so no other room checks a name, a cursor or a limit a second time.

mod agent;
mod audience;
mod backoff;
mod brownout;
mod change;
mod client;
mod cohort;
mod cursor;
mod end;
mod guarding;
mod invalid;
mod json;
mod limits;
mod log_id;
mod members;
mod module;
mod network;
mod position;
mod rfc3339;
mod routing;
mod sender;
mod stage;
mod standing;
#[cfg(any(test, fuzzing))]
pub mod strangers;
mod tick;
mod time;

pub use agent::AgentPattern;
pub use audience::Audience;
pub use backoff::Backoff;
pub use brownout::Brownout;
pub use change::{Change, NewChange, Op};
pub use client::Client;
pub use cohort::{BasisPoints, Choice, Cohort, bucket, hash};
pub use cursor::Cursor;
pub use end::{Brownouts, End};
pub use guarding::{GuardCause, GuardPhase};
pub use invalid::Invalid;
pub use json::JsonText;
pub use limits::Limits;
pub use log_id::LogId;
pub use members::{Member, Members};
pub use module::{ModuleMap, ModuleName};
pub use network::Network;
pub use position::{Epoch, LEAP, Position};
pub use rfc3339::parse_rfc3339;
pub use routing::{Moving, Routing, Unroutable};
pub use sender::sender;
pub use stage::{Stage, Transport};
pub use standing::Standing;
pub use tick::{Pace, Tick};
pub use time::{Clock, Micros, SystemClock};
