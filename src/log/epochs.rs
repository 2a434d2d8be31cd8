//! Beginning new epochs: by themselves on evidence, or because an operator asks.
//!
//! Invariants: whichever replica has the evidence begins the epoch, holder of the lease or not, in one
//! transaction that takes the lease away (`docs/adr/0008`); two replicas with the same evidence begin
//! one epoch; evidence stays open until the database has answered.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Leadership, Tail,
    witnesses::{Evidence, Witnesses},
};
use crate::{
    domain::{Cursor, ModuleName, Pace},
    store::{self, EpochBump, EpochBumped, Ground, Store},
    telemetry::Purpose,
};

/// Who begins an epoch without being asked, in the audit.
const ACTOR: &str = "changeover";

/// Pauses after an error, doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// An epoch that an operator asks for.
#[derive(Debug, Clone)]
pub struct EpochAsked {
    /// Of which module.
    pub module: ModuleName,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The furthest cursor that this replica's mirror got acknowledged.
    pub mirrored: Option<Cursor>,
    /// Look, change nothing.
    pub dry_run: bool,
}

/// Where epochs begin. One per replica.
pub struct Epochs {
    store: Arc<dyn Store>,
    tail: Arc<Tail>,
    leadership: Arc<Leadership>,
    witnesses: Arc<Witnesses>,
    /// Makes the sequencer look at the leases at once.
    wake: Arc<Notify>,
    /// Of the modules with a time cursor.
    paces: HashMap<ModuleName, Pace>,
    lease: Duration,
}

impl Epochs {
    /// `lease` is how long a seized lease lasts if this process dies.
    pub const fn new(
        store: Arc<dyn Store>,
        tail: Arc<Tail>,
        leadership: Arc<Leadership>,
        witnesses: Arc<Witnesses>,
        wake: Arc<Notify>,
        paces: HashMap<ModuleName, Pace>,
        lease: Duration,
    ) -> Self {
        Self {
            store,
            tail,
            leadership,
            witnesses,
            wake,
            paces,
            lease,
        }
    }

    /// Begins the epoch that an operator asks for, in force here before this returns.
    pub async fn bump(&self, asked: EpochAsked) -> store::Result<EpochBumped> {
        let bump = EpochBump {
            ground: Ground::Asked,
            witnessed: self.furthest(&asked.module).max(asked.mirrored),
            witnessed_time: self.tail.latest_time(&asked.module),
            pace: self.paces.get(&asked.module).copied(),
            module: asked.module,
            actor: asked.actor,
            reason: asked.reason,
        };
        if asked.dry_run {
            return self.store.try_epoch(&bump).await;
        }
        let bumped = self.store.bump_epoch(&bump, self.lease).await?;
        let Some(bumped) = bumped else {
            let module = bump.module;
            return Err(store::Error::LeaseLost { module });
        };
        announce(&bump, &bumped);
        if let Err(error) = self.adopt(&bump.module).await {
            tracing::warn!(%error, "the new epoch is adopted later");
        }
        Ok(bumped)
    }

    /// Settles evidence until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut pause = BACKOFF.0;
        loop {
            let failed = !self.settle_all().await;
            pause = if failed {
                (pause * 2).min(BACKOFF.1)
            } else {
                BACKOFF.0
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.witnesses.told() => {}
                () = sleep(pause), if failed => {}
            }
        }
    }

    /// False if something must be tried again.
    async fn settle_all(&self) -> bool {
        let mut settled = true;
        for evidence in self.witnesses.open() {
            if let Err(error) = self.settle(&evidence).await {
                let module = &evidence.module;
                tracing::warn!(%module, error = ?error, "a new epoch was not begun and is tried again");
                settled = false;
            }
        }
        settled
    }

    async fn settle(&self, evidence: &Evidence) -> store::Result<()> {
        let bump = EpochBump {
            module: evidence.module.clone(),
            ground: Ground::Beyond {
                under: evidence.under,
            },
            witnessed: self.furthest(&evidence.module).max(Some(evidence.cursor)),
            witnessed_time: self.tail.latest_time(&evidence.module),
            pace: self.paces.get(&evidence.module).copied(),
            actor: ACTOR.to_owned(),
            reason: evidence.to_string(),
        };
        let bumped = self.store.bump_epoch(&bump, self.lease).await?;
        match &bumped {
            Some(bumped) => {
                self.witnesses.note_begun(evidence, Instant::now());
                announce(&bump, bumped);
            }
            None => {
                tracing::info!(module = %bump.module, "no new epoch is needed any more");
            }
        }
        self.adopt(&evidence.module).await?;
        self.witnesses.settle(evidence);
        self.wake.notify_one();
        Ok(())
    }

    /// What this replica has in memory beyond anything the database may know.
    fn furthest(&self, module: &ModuleName) -> Option<Cursor> {
        let told = self.witnesses.open();
        let told = told.iter().filter(|evidence| evidence.module == *module);
        let told = told.map(|evidence| evidence.cursor);
        told.chain(self.tail.edge(module).map(|edge| edge.cursor()))
            .max()
    }

    /// Memory follows: the tail begins anew, and the lease that was taken away is asked for again.
    async fn adopt(&self, module: &ModuleName) -> store::Result<()> {
        let heads = self.store.heads(Purpose::Tail).await?;
        for head in heads.iter().filter(|head| head.module == *module) {
            self.tail.adopt_head(head);
        }
        if let Some(lease) = self
            .leadership
            .leases()
            .iter()
            .find(|l| l.module == *module)
        {
            let still = self.store.renew(std::slice::from_ref(lease), self.lease);
            if still.await?.is_empty() {
                self.leadership.lose(lease);
                self.wake.notify_one();
            }
        }
        Ok(())
    }
}

fn announce(bump: &EpochBump, bumped: &EpochBumped) {
    tracing::warn!(
        module = %bump.module,
        before = %bumped.before.cursor(),
        after = %bumped.after.cursor(),
        actor = bump.actor,
        reason = bump.reason,
        "a new epoch of the log has begun: every cursor of before is too old"
    );
}
