//! The mirror: every change of the log onto every target, at QoS 1.
//!
//! Invariants: only a broker's acknowledgement moves a cursor, and only over a contiguous prefix;
//! only the holder of a module's lease mirrors it; a slow or dead target slows its own cursor and
//! nothing else, because the log on disk is the buffer; the library that speaks MQTT is known to
//! [`mqtt`] alone.

mod asking;
mod asyncapi;
mod backoff;
mod base32;
mod bookmark;
mod bookmarking;
mod caution;
mod change_event;
mod connection;
mod cursors;
mod deadline;
mod feed;
mod fitting;
mod halting;
mod hearing;
mod history;
mod jobs;
mod lane;
mod obeying;
mod pace;
mod pointers;
mod publisher;
mod report;
mod session;
mod silence;
mod standings;
mod standings_reader;
mod status;
mod target;
mod target_acts;
mod trouble;

pub mod binary_event;
pub mod event;
pub mod ledger;
pub mod mqtt;
pub mod topic;
mod verifier;

pub use asyncapi::{AsyncApi, Bound};
pub use change_event::ChangeEvent;
pub use jobs::MirrorStore;
pub use pointers::{PointerEvent, Pointers};
pub use publisher::{Publisher, Sources};
pub use session::{AskedSession, Session, Sessions};
pub use standings::{StandingChanges, Standings};
pub use standings_reader::StandingsReader;
pub use status::{ModuleStatus, Status, TargetStatus};
pub use target::Target;
pub use target_acts::{TargetActs, TargetAsked, TargetRefused};
pub use verifier::{ModuleVerification, Outcome, Problem, Verification, Verifier};
