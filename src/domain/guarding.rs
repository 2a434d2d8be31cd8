//! The words for where a guard is, and for what has tripped it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Invalid;

/// Where a guard is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuardPhase {
    /// Clients are told what the ladder says.
    #[default]
    Watching,
    /// Clients fall back to polling, or have fallen back.
    Tripped,
    /// Clients return.
    Returning,
}

/// Why a guard has tripped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuardCause {
    /// The mirror has stopped.
    Halted,
    /// The target is away.
    Disconnected,
    /// The mirror is late.
    Lag,
    /// Subscribers miss changes.
    Loss,
    /// Nobody mirrors the module.
    Leaderless,
}

impl GuardPhase {
    /// The word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Watching => "watching",
            Self::Tripped => "tripped",
            Self::Returning => "returning",
        }
    }
}

impl GuardCause {
    /// The stable word for programs and people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Halted => "halted",
            Self::Disconnected => "disconnected",
            Self::Lag => "lag",
            Self::Loss => "loss",
            Self::Leaderless => "leaderless",
        }
    }
}

impl FromStr for GuardPhase {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        let all = [Self::Watching, Self::Tripped, Self::Returning];
        let found = all.into_iter().find(|phase| phase.as_str() == word);
        found.ok_or_else(|| Invalid::new("state", "must be watching, tripped or returning"))
    }
}

impl FromStr for GuardCause {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        let all = [
            Self::Halted,
            Self::Disconnected,
            Self::Lag,
            Self::Loss,
            Self::Leaderless,
        ];
        let found = all.into_iter().find(|cause| cause.as_str() == word);
        found.ok_or_else(|| {
            let why = "must be halted, disconnected, lag, loss or leaderless";
            Invalid::new("reason", why)
        })
    }
}

impl fmt::Display for GuardPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for GuardCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
