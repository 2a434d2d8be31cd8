//! A pass that an operator asks for.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{HeldBack, Retention, pass::AskedBy, work::Done};
use crate::{
    domain::{ModuleName, Position},
    store,
};

/// What a pass has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// Rows that were pruned by age or count.
    pub pruned: u64,
    /// All rows up to here are gone, or go.
    pub prune_through: Position,
    /// Rows that later changes of their keys had replaced.
    pub superseded: u64,
    /// Such rows up to here are gone, or go.
    pub compact_through: Position,
    /// Deleted keys that left the state.
    pub tombstones: u64,
    /// Whether all of it is done. Otherwise it goes on in the background.
    pub finished: bool,
    /// The target that holds back more, if one does.
    pub held_back: Option<HeldBack>,
}

/// Why a pass was not done.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// Another replica holds the module's lease.
    #[error("another replica numbers and prunes this module: ask it")]
    NotOurs,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Retention {
    /// Does a pass over a module now, as far as `patience` reaches; the act is audited.
    pub async fn compact(
        &self,
        module: &ModuleName,
        actor: &str,
        reason: &str,
        patience: Duration,
    ) -> Result<Compacted, NotDone> {
        let deadline = Instant::now() + patience;
        let lease = self.leadership.lease(module).ok_or(NotDone::NotOurs)?;
        let survey = self.survey().await?;
        let asked = AskedBy {
            actor: actor.to_owned(),
            reason: reason.to_owned(),
        };
        let before = self.done(module).await;
        let decision = self.begin(&lease, &survey, Some(&asked)).await?;
        let decision = decision.ok_or(NotDone::NotOurs)?;
        let mut more = true;
        while more && Instant::now() < deadline {
            more = self.step(&lease).await?;
            if more {
                sleep(self.pause()).await;
            }
        }
        let done = self.done(module).await.since(before);
        tracing::info!(%module, actor, reason, ?done, "retention was asked for");
        Ok(Compacted {
            pruned: done.pruned,
            prune_through: decision.prune_through,
            superseded: done.superseded,
            compact_through: decision.compact_through,
            tombstones: done.tombstones,
            finished: !more,
            held_back: self.held_back(module, &survey, &decision).await?,
        })
    }

    async fn done(&self, module: &ModuleName) -> Done {
        let all = self.work.lock().await;
        let lease = self.leadership.lease(module);
        let work = all.get(module);
        let ours = work.filter(|work| lease.is_some_and(|lease| lease.token == work.token));
        ours.map_or_else(Done::default, |work| work.done)
    }
}
