//! Why nobody was recognized, of several reasons.

use super::{Refused, fingerprint::Fingerprint};

/// Why nobody was recognized, so far.
#[derive(Default)]
pub(super) struct Worst {
    pub(super) refused: Option<(Refused, u8)>,
    /// The first credential that was wrong, if one was.
    pub(super) wrong: Option<Fingerprint>,
}

impl Worst {
    /// One reason more, of the recognizer at a place.
    pub(super) fn add(&mut self, refused: Refused, place: u8, wrong: Option<Fingerprint>) {
        self.wrong = self.wrong.or(wrong);
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
