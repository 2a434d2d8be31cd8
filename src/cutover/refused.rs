//! Why an act is not done, and what may stand in its audit.

use super::{Blocked, Gate, NoRoute};
use crate::{
    domain::{ModuleName, Stage},
    store,
};

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No configuration names the module.
    #[error("there is no module {0}")]
    UnknownModule(ModuleName),
    /// Without a reason the audit would not help anybody.
    #[error("a reason is needed: it is what the audit shows later")]
    NoReason,
    /// The reason or the actor is too long to be kept.
    #[error("`{field}` has {bytes} bytes, at most {most} are kept")]
    TooLong {
        /// Which one.
        field: &'static str,
        /// Its size.
        bytes: usize,
        /// The bound.
        most: usize,
    },
    /// The reason or the actor holds control characters.
    #[error("`{field}` must be one line of text, without control characters")]
    NotPlain {
        /// Which one.
        field: &'static str,
    },
    /// The ladder does not allow it from here.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// Nothing is sent anywhere: whoever were told to take the push would be told to poll all the same. Nobody can override that.
    #[error(
        "{module} cannot go to {step}: no target that is fed gets it, so there is nothing that clients could subscribe to; configure one, or resume it. This cannot be forced"
    )]
    NothingFed {
        /// The module.
        module: ModuleName,
        /// Where it was to go.
        step: Stage,
    },
    /// Not everything holds that the step asks for.
    #[error(
        "the gate to {} is {}: {gate}. Wait until it passes (`changeover module gates`), or override it with force and a reason", gate.step, gate.verdict().as_str()
    )]
    Gated {
        /// What was asked, and the answers.
        gate: Box<Gate>,
    },
    /// The clients cannot be told that target.
    #[error(transparent)]
    NoRoute(#[from] NoRoute),
    /// Somebody else acted in between.
    #[error("the module's flags are at version {current}, not {expected}: look again, then repeat")]
    VersionConflict {
        /// The version that the asker had seen.
        expected: i64,
        /// The version that is stored.
        current: i64,
    },
    /// The database failed.
    #[error("the act could not be written")]
    Store(#[source] store::Error),
}

/// Most bytes of a reason and of an actor's name.
const REASON_BYTES: usize = 1_024;
/// A name of 64 characters, and in brackets one of 128.
const ACTOR_BYTES: usize = 200;
/// Whether actor and reason may stand in the audit.
pub fn check_words(actor: &str, reason: &str) -> Result<(), Refused> {
    if reason.trim().is_empty() {
        return Err(Refused::NoReason);
    }
    check_plain("reason", reason)?;
    check_plain("actor", actor)?;
    check_size("reason", reason, REASON_BYTES)?;
    check_size("actor", actor, ACTOR_BYTES)
}

/// The audit is shown on terminals, and one database refuses U+0000.
fn check_plain(field: &'static str, text: &str) -> Result<(), Refused> {
    if text.chars().any(char::is_control) {
        return Err(Refused::NotPlain { field });
    }
    Ok(())
}

fn check_size(field: &'static str, text: &str, most: usize) -> Result<(), Refused> {
    let bytes = text.len();
    if bytes <= most {
        return Ok(());
    }
    Err(Refused::TooLong { field, bytes, most })
}
