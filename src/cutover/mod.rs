//! The cutover: which stage a module is at, and what each client is told.
//!
//! Invariants: an evaluation does no I/O; a stage changes only together with its audit entry;
//! what was asked for (requested) and what clients are told (effective) are two things.

mod acts;
mod adviser;
mod flags;
mod flags_reader;
mod ladder;
mod routes;

pub use acts::{Acts, Asked, Done, Move, Refused, check_words};
pub use adviser::{Advice, Adviser};
pub use flags::{Evaluation, Flags, evaluate};
pub use flags_reader::FlagsReader;
pub use ladder::{Blocked, Step};
pub use routes::{NoRoute, Route, Routes};
