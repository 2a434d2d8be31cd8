//! The ladder that a module climbs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A step of the ladder. The order of the variants is the order of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The legacy upstream answers polls, passed through.
    Proxy,
    /// As `proxy`; the gateway computes its own answer and compares, and mirrors to MQTT.
    Shadow,
    /// The gateway answers polls from the log and mirrors to MQTT; everyone is told to poll.
    Mirror,
    /// As `mirror`, but the clients of the cohort are told to take the push.
    Ramp,
    /// Everyone is told to take the push; polls are answered with deprecation headers.
    Sunset,
    /// Polls are answered 410.
    Retired,
}

impl Stage {
    /// All steps, from the first to the last.
    pub const ALL: [Self; 6] = [
        Self::Proxy,
        Self::Shadow,
        Self::Mirror,
        Self::Ramp,
        Self::Sunset,
        Self::Retired,
    ];

    /// The word in the database, the API and the headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Shadow => "shadow",
            Self::Mirror => "mirror",
            Self::Ramp => "ramp",
            Self::Sunset => "sunset",
            Self::Retired => "retired",
        }
    }

    /// The step after this one; `None` at the end.
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Proxy => Some(Self::Shadow),
            Self::Shadow => Some(Self::Mirror),
            Self::Mirror => Some(Self::Ramp),
            Self::Ramp => Some(Self::Sunset),
            Self::Sunset => Some(Self::Retired),
            Self::Retired => None,
        }
    }

    /// The step before this one; `None` at the beginning.
    pub const fn previous(self) -> Option<Self> {
        match self {
            Self::Proxy => None,
            Self::Shadow => Some(Self::Proxy),
            Self::Mirror => Some(Self::Shadow),
            Self::Ramp => Some(Self::Mirror),
            Self::Sunset => Some(Self::Ramp),
            Self::Retired => Some(Self::Sunset),
        }
    }
}

impl FromStr for Stage {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.as_str() == word)
            .ok_or_else(|| {
                Invalid::new(
                    "stage",
                    format!(
                        "`{}` must be proxy, shadow, mirror, ramp, sunset or retired",
                        word.escape_debug()
                    ),
                )
            })
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a client is told to receive a module's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Keep polling.
    Poll,
    /// Subscribe over MQTT.
    Push,
}

impl Transport {
    /// The word in headers, templates and flags.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Push => "push",
        }
    }
}
