//! Counting who was refused, and where.

use super::Refused;
use crate::telemetry::metric;

impl Refused {
    /// Counts a refusal at a door.
    pub fn count(self, door: &'static str) {
        metrics::counter!(metric::CALLERS_REFUSED, "door" => door, "why" => self.label())
            .increment(1);
    }
}
