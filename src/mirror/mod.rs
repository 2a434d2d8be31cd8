//! The mirror: every change of the log onto every target, at QoS 1.
//!
//! Invariants: only a broker's acknowledgement moves a cursor, and only over a contiguous prefix;
//! only the holder of a module's lease mirrors it; a slow or dead target slows its own cursor and
//! nothing else, because the log on disk is the buffer; the library that speaks MQTT is known to
//! [`mqtt`] alone.
//!
//! `message` is what is said and where; `target` is a broker, and `publisher` feeds one: each of its modules is a
//! `lane`, each of its connections a `line`, a `claim` says whose a module's topics there are, and the `ledger` knows what was acknowledged; `verifier` reads it back, and `session` tells
//! clients where to go, `access` says what they may do there, `dynsec` makes them on brokers that have to know them.

mod access;
mod claim;
mod directions;
mod dynsec;
mod history;
mod lane;
mod line;
mod message;
mod publisher;
mod session;
mod target;
mod verifier;

pub mod ledger;
pub mod mqtt;

/// What is tried with the input of strangers.
#[cfg(any(test, fuzzing))]
pub mod strangers {
    pub use super::{
        message::strangers::topic, session::strangers::client_id, verifier::strangers::event,
    };
}

pub use access::{Access, Credentials, Doing, Hooks, LoggedIn, Logins, Verdict};
pub use directions::Directions;
pub use dynsec::{Clerk, Desk};
pub use message::{
    AsyncApi, Bound, ChangeEvent, PointerEvent, Pointers, binary_event, event, topic,
};
pub use publisher::{MirrorStore, Publisher, Sources};
pub use session::{AskedSession, Session, Sessions};
pub use target::{
    ModuleStatus, Observer, StandingChanges, Standings, StandingsReader, Status, Target,
    TargetActs, TargetAsked, TargetRefused, TargetStatus,
};
pub use verifier::{ModuleVerification, Outcome, Problem, Verification, Verifier};
