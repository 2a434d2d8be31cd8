//! Closing ticks in modules with a time cursor: with each renewal, and sooner where rows wait for it.

use std::time::{Duration, Instant};

use super::Sequencer;
use crate::store::{self, Closing};

impl Sequencer {
    /// The tail learns how far the ticks are closed from the same statement that closes them.
    pub(super) async fn close_ticks(&mut self) -> store::Result<()> {
        let now = Instant::now();
        let mut closing = Vec::new();
        for lease in self.leadership.leases() {
            if self.pacing.is_paced(&lease.module) {
                let through = self.pacing.due(&lease.module, now);
                closing.push(Closing { lease, through });
            }
        }
        let due = closing.iter().any(|closing| closing.through.get() > 0);
        if closing.is_empty() || (!due && now < self.close_at) {
            return Ok(());
        }
        for closed in self.store.close_ticks(&closing).await? {
            let of = |closing: &&Closing| closing.lease.module == closed.module;
            let asked = closing.iter().find(of).map(|closing| closing.through);
            self.pacing.closed(&closed, asked.unwrap_or_default(), now);
            self.tail.close(&closed);
        }
        self.close_at = now + Duration::from_millis(self.rules.bounds.renew_ms);
        Ok(())
    }
}
