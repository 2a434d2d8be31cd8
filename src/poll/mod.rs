//! The legacy polls: old clients are answered from the log, in their own words.
//!
//! Invariants: an idle poll costs no SQL; no answer moves a cursor backward, except a declared
//! restart of state; a malformed request gets the configured error envelope and changes nothing.

mod answer;
mod audiences;
mod compiled;
mod contract;
mod failure;
mod floor;
mod json;
mod look;
mod meters;
mod page;
mod paths;
mod read;
mod render;
mod request;
mod slots;
mod source;
mod sources;
mod state_cache;
mod steering;
mod sunset;
mod template;
mod wait;
mod whole_state;

pub use answer::Endpoint;
pub use compiled::{compile, problems};
pub use contract::{Contract, Problem};
pub use failure::Failure;
pub use meters::Answered;
pub use paths::conflicts;
pub use source::Parts;
pub use sources::Sources;
