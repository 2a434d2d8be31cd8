//! The legacy polls: old clients are answered from the log, in their own words.
//!
//! Invariants: an idle poll costs no SQL; no answer moves a cursor backward, except a declared
//! restart of state; a malformed request gets the configured error envelope and changes nothing.

mod advised;
mod answer;
mod asked;
mod audiences;
mod batch;
mod batch_answer;
mod captures;
mod compat;
mod compiled;
mod content;
mod contract;
mod described;
mod ending;
mod etag;
mod failure;
mod fields;
mod floor;
mod heads;
mod json;
mod look;
mod meters;
mod op_words;
mod page;
mod paths;
mod read;
mod read_ticks;
mod refusal;
mod render;
mod request;
mod route;
mod site;
mod slots;
mod source;
mod sources;
mod state_cache;
mod steering;
#[cfg(any(test, fuzzing))]
pub mod strangers;
mod sunset;
mod template;
mod time_cursor;
mod told;
mod wait;
mod whole_state;
mod wording;

pub use answer::Endpoint;
pub use compat::{Compat, Noted};
pub use compiled::{compile, problems};
pub use content::{BodyKind, Content};
pub use contract::{Contract, Problem};
pub use described::{Answer, Described, Shape, Taken};
pub use failure::Failure;
pub use meters::Answered;
pub use paths::conflicts;
pub use route::Route;
pub use site::Site;
pub use source::Parts;
pub use sources::Sources;
