//! Keeping the states of this replica's modules whole: changes may have been numbered without state, here before it was
//! switched on, or by another replica in a rolling restart.
//!
//! Invariant: a replica that keeps a module's state looks whether it is whole at its start and each time it has taken the
//! module's lease; as long as it holds the lease, nobody numbers without state. What is not whole is not read
//! meanwhile: that is the store's to see to.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Leadership;
use crate::{
    domain::ModuleName,
    store::{self, Mended, Store},
    telemetry::Purpose,
};

/// Pauses after an error, doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Keeps states whole. One per replica.
pub struct StateKeeper {
    store: Arc<dyn Store>,
    leadership: Arc<Leadership>,
    modules: HashSet<ModuleName>,
}

impl StateKeeper {
    /// `modules` are those that keep state here.
    pub const fn new(
        store: Arc<dyn Store>,
        leadership: Arc<Leadership>,
        modules: HashSet<ModuleName>,
    ) -> Self {
        Self {
            store,
            leadership,
            modules,
        }
    }

    /// Makes every state whole, whoever holds the leases. Returns the modules whose state is lost.
    pub async fn mend_all(&self) -> store::Result<Vec<ModuleName>> {
        self.mend(&self.modules).await
    }

    /// Looks at the states of the leases that are taken, until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut changes = self.leadership.changes();
        let mut settled = BTreeMap::new();
        let mut pause = BACKOFF.0;
        loop {
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.look(&mut settled) => looked,
            };
            let failed = looked.is_err();
            pause = match looked {
                Ok(()) => BACKOFF.0,
                Err(error) => {
                    tracing::warn!(%error, "states are not mended yet: it is tried again");
                    (pause * 2).min(BACKOFF.1)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = changes.next() => {}
                () = sleep(pause), if failed => {}
            }
        }
    }

    /// `settled` holds the token of the last lease of each module under which its state was seen to.
    async fn look(&self, settled: &mut BTreeMap<ModuleName, i64>) -> store::Result<()> {
        let mut taken = self.leadership.leases();
        taken.retain(|lease| {
            self.modules.contains(&lease.module) && settled.get(&lease.module) != Some(&lease.token)
        });
        if taken.is_empty() {
            return Ok(());
        }
        let modules = taken.iter().map(|lease| lease.module.clone()).collect();
        for module in self.mend(&modules).await? {
            tracing::error!(%module, "changes were numbered without state that the log no longer holds: the state is lost, and reads of it are refused until `state = false` is set");
        }
        settled.extend(taken.into_iter().map(|lease| (lease.module, lease.token)));
        Ok(())
    }

    /// Returns the modules whose state is lost.
    async fn mend(&self, modules: &HashSet<ModuleName>) -> store::Result<Vec<ModuleName>> {
        let mut lost = Vec::new();
        for head in self.store.heads(Purpose::State).await? {
            let module = head.module;
            if head.stateless_from.is_none() || !modules.contains(&module) {
                continue;
            }
            match self.store.mend_state(&module).await? {
                Mended::Whole { keys } => {
                    tracing::info!(%module, keys, "the state is whole again: changes had been numbered without it");
                }
                Mended::Lost => lost.push(module),
            }
        }
        Ok(lost)
    }
}
