//! The cutover: which stage a module is at, and what each client is told.
//!
//! Invariants: an evaluation does no I/O; a stage changes only together with its audit entry;
//! what was asked for (requested) and what clients are told (effective) are two things.

mod acts;
mod adviser;
mod ceiling;
mod census;
mod flags;
mod flags_reader;
mod gates;
pub mod guard;
mod ladder;
mod panic;
mod preview;
mod reading;
mod recut;
mod refused;
mod replan;
mod returning;
mod routes;
mod steady;
mod transition;

pub use acts::{Acts, Asked, Done, Move};
pub use adviser::{Advice, Adviser};
pub use ceiling::{Cause, Ceiling, Hold};
pub use census::{Census, CensusKeeper, Clients, Count, Counted, Counts, Presence};
pub use flags::{Evaluation, Flags, evaluate};
pub use flags_reader::FlagsReader;
pub use gates::{
    Check, FactsReporter, Gate, Gatekeeper, Poller, Pollers, RampFacts, Report, RetiredFacts,
    SunsetFacts, TargetFacts, Verdict, Verified,
};
pub use ladder::{Blocked, Step};
pub use panic::{
    InForce, Panic, PanicActs, PanicAsked, PanicDone, PanicFile, PanicReader, PanicRefused,
    RaisedBy, missing_folder,
};
pub use preview::{Moved, Preview};
pub use recut::Recut;
pub use refused::{Refused, check_words};
pub use replan::Replan;
pub use returning::Return;
pub use routes::{NoRoute, Route, Routes};
pub use steady::SteadyTime;
pub use transition::{Ladder, Transition};
