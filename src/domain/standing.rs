//! Whether a target is fed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Invalid;

/// What operators want of a target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It is fed.
    #[default]
    Active,
    /// Nothing is sent to it; it goes on from its cursors.
    Paused,
    /// Nothing is sent to it, and nothing is kept for it.
    Retired,
}

impl Standing {
    /// The word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Retired => "retired",
        }
    }
}

impl FromStr for Standing {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        let all = [Self::Active, Self::Paused, Self::Retired];
        let found = all.into_iter().find(|standing| standing.as_str() == word);
        found.ok_or_else(|| Invalid::new("standing", "must be active, paused or retired"))
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
