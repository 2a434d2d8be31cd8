//! Why nobody was recognized, of several reasons.
//!
//! Invariant: every credential that was wrong is kept, whatever else the request brings along: one for each recognizer at most.

use super::{Refused, fingerprint::Fingerprint};

/// Why nobody was recognized, so far.
#[derive(Default)]
pub(super) struct Worst {
    pub(super) refused: Option<(Refused, u8)>,
    /// The credentials that were wrong: each recognizer says one.
    pub(super) wrong: Vec<Fingerprint>,
}

impl Worst {
    /// One reason more, of the recognizer at a place.
    pub(super) fn add(&mut self, refused: Refused, place: u8, wrong: Option<Fingerprint>) {
        self.wrong.extend(wrong);
        let rank = |refused: Refused| match refused {
            Refused::Unavailable { .. } => 3,
            Refused::TooMany { .. } => 2,
            Refused::Expired => 1,
            _ => 0,
        };
        let is_worse = |(known, _)| rank(refused) > rank(known);
        if self.refused.is_none_or(is_worse) {
            self.refused = Some((refused, place));
        }
    }
}
