//! Taking, keeping and giving back the leases of the modules.

use std::time::{Duration, Instant};

use super::Sequencer;
use crate::{
    config::sequencer::Sequencer as Bounds,
    domain::{Cursor, ModuleName},
    log::witnesses::{Evidence, Witness},
    store::{self, Lease},
    telemetry::Purpose,
};

/// When leases are to be renewed, and when vacant ones are to be tried.
#[derive(Debug)]
pub(super) struct Rhythm {
    pub(super) lease: Duration,
    renew: Duration,
    attempt: Duration,
    renew_at: Instant,
    attempt_at: Instant,
    heads_exist: bool,
}

/// Vacant leases are tried so many times per renewal, so that a take-over follows the expiry
/// closely.
const ATTEMPTS_PER_RENEWAL: u32 = 4;

impl Rhythm {
    pub(super) fn new(bounds: &Bounds, now: Instant) -> Self {
        let renew = Duration::from_millis(bounds.renew_ms);
        Self {
            lease: Duration::from_millis(bounds.lease_ms),
            renew,
            attempt: renew / ATTEMPTS_PER_RENEWAL,
            renew_at: now,
            attempt_at: now,
            heads_exist: false,
        }
    }
}

impl Sequencer {
    pub(super) async fn keep_leases(&mut self) -> store::Result<()> {
        if !self.rhythm.heads_exist {
            self.store.ensure_modules(&self.served.modules).await?;
            self.rhythm.heads_exist = true;
        }
        let now = Instant::now();
        if now >= self.rhythm.renew_at {
            self.renew().await?;
            self.rhythm.renew_at = now + self.rhythm.renew;
        }
        if now >= self.rhythm.attempt_at {
            self.attempt().await?;
            self.rhythm.attempt_at = now + self.rhythm.attempt;
        }
        Ok(())
    }

    async fn renew(&mut self) -> store::Result<()> {
        let held = self.leadership.leases();
        if held.is_empty() {
            return Ok(());
        }
        let asked_at = Instant::now();
        let kept = self.store.renew(&held, self.rhythm.lease).await?;
        for lease in held.iter().filter(|lease| !kept.contains(lease)) {
            tracing::warn!(module = %lease.module, "the lease is lost to another holder");
            self.leadership.lose(lease);
            self.channels.clear();
            // In an older copy that was put in place, the row itself may be missing.
            self.rhythm.heads_exist = false;
            self.pacing.forget();
        }
        self.leadership.hold(&kept, asked_at, self.rhythm.lease);
        Ok(())
    }

    async fn attempt(&mut self) -> store::Result<()> {
        let vacant = self.not_held();
        if vacant.is_empty() {
            return Ok(());
        }
        let asked_at = Instant::now();
        let span = self.rhythm.lease;
        let taken = self.store.acquire(&vacant, &self.holder, span).await?;
        if taken.is_empty() {
            return Ok(());
        }
        let heads = self.look_at_heads(&taken).await?;
        for Lease { module, token } in &taken {
            tracing::info!(%module, token, "this replica numbers and mirrors the module now");
        }
        // Somebody else may have written to these logs since they were ours.
        self.channels.clear();
        self.pacing.forget();
        self.floor.reset();
        self.leadership.hold(&taken, asked_at, span);
        for (lease, head) in taken.iter().zip(heads) {
            self.leadership.began(lease, head);
        }
        Ok(())
    }

    /// Where the logs of leases end that were just taken, so that nobody else moves them. Whatever
    /// reaches beyond is evidence against the module, which is not numbered then; the tail takes over a
    /// new epoch before its first row is numbered here.
    async fn look_at_heads(&self, taken: &[Lease]) -> store::Result<Vec<Cursor>> {
        let heads = self.store.heads(Purpose::Lease).await?;
        let beyond = self.store.beyond_heads().await?;
        let mut ends = Vec::with_capacity(taken.len());
        for Lease { module, .. } in taken {
            let Some(head) = heads.iter().find(|head| head.module == *module) else {
                return Err(store::Error::LeaseLost {
                    module: module.clone(),
                });
            };
            let seen = beyond.iter().filter(|(name, _)| name == module);
            if let Some(cursor) = seen.map(|(_, cursor)| *cursor).max() {
                self.testify(module, cursor, Witness::Database, head.cursor());
            }
            if !self.is_restored(module, head.cursor()) {
                self.tail.adopt_head(head);
            }
            ends.push(head.cursor());
        }
        Ok(ends)
    }

    /// Memory holds confirmed commits only. If it is above the end of the database's log, which nobody moves
    /// meanwhile, an older copy was put in place under this process, or commits were lost: numbering would
    /// give positions a second time. That is told, and true is returned.
    pub(super) fn is_restored(&self, module: &ModuleName, head: Cursor) -> bool {
        let known = self.tail.edge(module).map(|edge| edge.cursor());
        let beyond = known.filter(|known| *known > head);
        if let Some(cursor) = beyond {
            self.testify(module, cursor, Witness::Tail, head);
        }
        beyond.is_some()
    }

    fn testify(&self, module: &ModuleName, cursor: Cursor, witness: Witness, head: Cursor) {
        self.witnesses.tell(Evidence {
            module: module.clone(),
            cursor,
            witness,
            head,
            under: None,
        });
    }

    fn not_held(&self) -> Vec<ModuleName> {
        let held = self.leadership.leases();
        let is_held = |module: &ModuleName| held.iter().any(|lease| lease.module == *module);
        let modules = self.served.modules.iter();
        modules.filter(|module| !is_held(module)).cloned().collect()
    }

    /// Gives the leases back, so that another replica takes over at once. If that fails they expire.
    pub(super) async fn hand_over(&mut self) {
        let held = self.leadership.leases();
        for lease in &held {
            self.leadership.lose(lease);
        }
        if let Err(error) = self.store.release(&held).await {
            tracing::warn!(%error, "leases were not given back, they expire by themselves");
        }
    }
}
