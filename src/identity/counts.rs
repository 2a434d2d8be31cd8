//! How many callers were recognized and refused.

use std::sync::Arc;

use metrics::Counter;

use super::Refused;
use crate::telemetry::metric;

/// The counters, by the place of the recognizer.
#[derive(Default)]
pub(super) struct Counts(Vec<(Arc<str>, Counter)>);

/// Whose realm a request without any credential is.
const NOBODY: &str = "";

impl Counts {
    pub(super) fn new<'a>(realms: impl Iterator<Item = &'a Arc<str>>) -> Self {
        let counter = |realm: &Arc<str>| {
            let label = realm.as_ref().to_owned();
            let counter =
                metrics::counter!(metric::CALLERS, "realm" => label, "outcome" => "recognized");
            (Arc::clone(realm), counter)
        };
        Self(realms.map(counter).collect())
    }

    /// One that was recognized. Costs no lookup.
    pub(super) fn recognized(&self, place: u8) {
        if let Some((_, counter)) = self.0.get(usize::from(place)) {
            counter.increment(1);
        }
    }

    /// One that was refused.
    pub(super) fn refused(&self, place: Option<u8>, refused: Refused) {
        let realm = place.and_then(|place| self.0.get(usize::from(place)));
        let realm = realm.map_or(NOBODY, |(realm, _)| realm).to_owned();
        metrics::counter!(metric::CALLERS, "realm" => realm, "outcome" => refused.label())
            .increment(1);
    }
}

/// Tells how much is remembered.
pub(super) fn tell_remembered((callers, refusals): (usize, usize)) {
    for (kind, count) in [("caller", callers), ("refusal", refusals)] {
        #[expect(
            clippy::cast_precision_loss,
            reason = "the count is bounded far below 2^52"
        )]
        metrics::gauge!(metric::VERDICTS, "kind" => kind).set(count as f64);
    }
}
