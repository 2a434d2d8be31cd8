//! `[auth.passes]`: the keys that sign what clients enter brokers with.

use serde::{Deserialize, Serialize};

use crate::config::{Problems, session::Session, span::Span};

/// How the keys change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Passes {
    /// How long a key signs.
    pub rotate: Span,
    /// How long what it has signed is recognized after that.
    pub keep: Span,
}

impl Default for Passes {
    fn default() -> Self {
        Self {
            rotate: Span::from_secs(24 * 3_600),
            keep: Span::from_secs(30 * 24 * 3_600),
        }
    }
}

/// Keys at once: they are all in memory, and looked through.
const MOST_KEYS: u128 = 200;

impl Passes {
    pub(in crate::config) fn validate(
        &self,
        path: &str,
        session: &Session,
        problems: &mut Problems,
    ) {
        problems.bound_span(&format!("{path}.rotate"), self.rotate, "10m", "365d");
        problems.bound_span(&format!("{path}.keep"), self.keep, "1h", "365d");
        let (rotate, keep) = (self.rotate.get(), self.keep.get());
        if keep < session.pass_lifetime() {
            let why = "is shorter than a password is good: 1.25 x session.lifetime_ms at least";
            problems.push(format!("{path}.keep"), why);
        }
        if keep.as_millis() > rotate.as_millis().saturating_mul(MOST_KEYS) {
            let why =
                format!("is more than {MOST_KEYS} x {path}.rotate: so many keys are too many");
            problems.push(format!("{path}.keep"), why);
        }
    }
}
