//! Taking, keeping and giving back the leases of the modules.

use std::time::{Duration, Instant};

use super::Sequencer;
use crate::{
    config::sequencer::Sequencer as Bounds,
    domain::ModuleName,
    store::{self, Lease},
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
        for Lease { module, token } in &taken {
            tracing::info!(%module, token, "this replica numbers and mirrors the module now");
        }
        // Somebody else may have written to these logs since they were ours.
        self.channels.clear();
        self.pacing.forget();
        self.floor.reset();
        self.leadership.hold(&taken, asked_at, span);
        Ok(())
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
