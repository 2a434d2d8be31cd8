//! Whose polls are refused because the module comes to its end.
//!
//! Invariant: at the stages before `sunset` nobody's are, whatever is planned.

use std::time::Instant;

use http::HeaderMap;

use super::{answer::Endpoint, failure::Failure};
use crate::{
    cutover::Evaluation,
    domain::{Client, Micros, Stage},
};

impl Endpoint {
    /// Why this client's poll is refused; `None` if it is to be answered.
    pub(super) fn ended(
        &self,
        evaluation: Evaluation,
        client: &Client<'_>,
        now: Instant,
    ) -> Option<Failure> {
        match evaluation.effective {
            Stage::Proxy | Stage::Shadow | Stage::Mirror | Stage::Ramp => None,
            Stage::Sunset => self.ended_early(client, now),
            Stage::Retired => Some(Failure::Retired),
        }
    }

    fn ended_early(&self, client: &Client<'_>, now: Instant) -> Option<Failure> {
        let record = self.sources.adviser.flags().record(&self.contract.module)?;
        if record.ending.blocks(client) {
            return Some(Failure::Blocked);
        }
        let brownouts = &record.ending.brownouts;
        if brownouts.is_empty() {
            return None;
        }
        let left = self.sources.steady.left(brownouts, now)?;
        let retry_after_s = u32::try_from(left.as_secs()).unwrap_or(u32::MAX).max(1);
        Some(Failure::Brownout { retry_after_s })
    }

    /// When the polls are to end, as planned or else as configured.
    pub(super) fn end_at(&self) -> Option<Micros> {
        let record = self.sources.adviser.flags().record(&self.contract.module);
        let planned = record.and_then(|record| record.ending.at);
        planned.or(self.contract.sunset.at)
    }

    /// The headers at `sunset`.
    pub(super) fn announce_end(&self, headers: &mut HeaderMap) {
        let record = self.sources.adviser.flags().record(&self.contract.module);
        let since = record.map_or_else(|| self.sources.clock.now(), |record| record.entered.at);
        let notice = &self.contract.sunset;
        notice.announce(since, self.end_at(), headers);
    }
}
