//! Giving leases to other replicas: one that asks for its share, or all of them at the end.
//!
//! Invariant: nothing is numbered under a lease that is being handed over, and what runs under it has `hand_over_ms` to
//! finish; then it goes to its successor, for whom it is kept for a while, and who needs to wait for nothing.

use std::time::{Duration, Instant};

use super::{Sequencer, leases::count_move, spreading};
use crate::store::{self, Instance, Lease};

/// A lease on its way to another replica.
#[derive(Debug)]
pub(super) struct Leaving {
    lease: Lease,
    to: String,
    until: Instant,
}

/// How often it is looked whether the work under a leaving lease is done.
pub(super) const LOOK: Duration = Duration::from_millis(5);

impl Sequencer {
    /// Begins to hand over what others ask for and may have; what is on its way to somebody who has died stays.
    pub(super) fn begin_hand_overs(&mut self, others: &[Instance]) {
        let leadership = &self.leadership;
        self.leaving.retain(|one| {
            let lives = others.iter().any(|other| other.name == one.to);
            if !lives {
                leadership.stop_leaving(&one.lease);
            }
            lives
        });
        let mut staying = leadership.leases();
        staying.retain(|lease| !self.leaving.iter().any(|one| one.lease == *lease));
        let until = Instant::now() + Duration::from_millis(self.rules.bounds.hand_over_ms);
        for (lease, to) in spreading::grants(staying.len(), &staying, others) {
            self.leadership.begin_leaving(&lease);
            self.leaving.push(Leaving { lease, to, until });
        }
    }

    /// Hands over what nobody uses here any more, or has used for long enough.
    pub(super) async fn finish_hand_overs(&mut self) -> store::Result<()> {
        if self.leaving.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let leadership = &self.leadership;
        self.leaving.retain(|one| leadership.keeps(&one.lease));
        let is_over = |one: &Leaving| now >= one.until || !leadership.is_in_use(&one.lease);
        for one in self.leaving.extract_if(.., |one| is_over(one)) {
            leadership.lose(&one.lease);
            let keep = self.rhythm.lease / 2;
            let lease = std::slice::from_ref(&one.lease);
            self.store.hand_over(lease, &one.to, keep).await?;
            count_move("handed_over", 1);
            tracing::info!(module = %one.lease.module, to = one.to, "this module is handed over");
        }
        Ok(())
    }

    /// Gives all leases up, so that others take over at once. If that fails they expire.
    pub(super) async fn hand_all_over(&mut self) {
        let held = self.leadership.leases();
        for lease in &held {
            self.leadership.lose(lease);
        }
        if let Err(error) = self.leave_all(&held).await {
            tracing::warn!(%error, "leases were not given back, they expire by themselves");
        }
    }

    async fn leave_all(&self, held: &[Lease]) -> store::Result<()> {
        let others = self.presence.others();
        let keep = self.rhythm.lease / 2;
        for (to, leases) in spreading::legacy(held, &others) {
            self.store.hand_over(&leases, &to, keep).await?;
        }
        if others.is_empty() {
            self.store.release(held).await?;
        }
        self.presence.leave(&*self.store).await
    }
}
