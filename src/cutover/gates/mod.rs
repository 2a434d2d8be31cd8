//! Gates: may a module take a step forward?
//!
//! Invariants: a gate is a pure function from facts to checks; all of them must pass, and what nobody has seen does not pass; facts
//! are what the database says, so every replica gives the same answer; the way back has no gate.

mod caveats;
mod check;
mod gate;
mod gatekeeper;
mod kept;
mod periods;
mod ramp;
mod reporter;
mod retired;
mod sunset;
#[cfg(test)]
mod table_tests;

pub use check::{Check, Poller, Pollers, Verdict};
pub use gate::Gate;
pub use gatekeeper::Gatekeeper;
pub use ramp::{RampFacts, TargetFacts};
pub use reporter::{FactsReporter, Report, Verified};
pub use retired::RetiredFacts;
pub use sunset::SunsetFacts;
