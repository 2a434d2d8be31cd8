//! A change as a client gets it, whichever way.

use crate::domain::{Audience, Epoch, JsonText, Op, Position};

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The incarnation of the log.
    pub epoch: Epoch,
    /// Its place in the module's log.
    pub position: Position,
    /// The place of the channel's change before it, zero for none.
    pub previous: Position,
    /// For whom it is.
    pub audience: Audience,
    /// What it is about.
    pub key: Box<str>,
    /// What happened to the key.
    pub op: Op,
    /// The key's value, byte for byte; none if it came as a pointer, and has to be read.
    pub value: Option<JsonText>,
}

/// Which way a change came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// It was pushed.
    Push,
    /// It was read from the log.
    Read,
    /// It is the last change of its key, from a snapshot.
    State,
}

impl By {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Read => "read",
            Self::State => "state",
        }
    }
}
