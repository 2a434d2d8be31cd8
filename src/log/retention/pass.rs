//! Doing what was decided: the bounds first, then rows, a batch at a time.

use std::time::Instant;

use super::{
    Decision, Retention, Survey, count_rows, oldest_gauge,
    work::{Sweep, Work},
};
use crate::{
    domain::{ModuleName, Position},
    store::{self, Bounds, Lease, Note, Which, Window},
    telemetry::metric,
};

/// Who asked for a pass by hand, and why.
#[derive(Debug, Clone)]
pub(super) struct AskedBy {
    pub(super) actor: String,
    pub(super) reason: String,
}

/// The action in the audit.
const ACTION: &str = "compact";

impl Retention {
    /// Decides for a module and moves its bounds. What follows from it becomes its work.
    pub(super) async fn begin(
        &self,
        lease: &Lease,
        survey: &Survey,
        asked: Option<&AskedBy>,
    ) -> store::Result<Option<Decision>> {
        let module = &lease.module;
        let Some(decision) = self.decide(module, survey).await? else {
            return Ok(None);
        };
        let head = &survey.heads[module];
        oldest_gauge(module).set(decision.oldest.as_secs_f64());
        let mut all = self.work.lock().await;
        let work = all.entry(module.clone()).or_default();
        if work.token != lease.token {
            *work = Work {
                token: lease.token,
                ..Work::default()
            };
        }
        let through = decision.compact_through;
        let batch = u64::from(self.settings.batch);
        let sweep = work
            .compaction
            .is_due(through, batch, asked.is_some(), Instant::now());
        let before = Bounds {
            retained_from: head.retained_from,
            compacted_through: head.compacted_through,
        };
        let after = Bounds {
            retained_from: decision.prune_through.next(),
            compacted_through: through.max(before.compacted_through),
        };
        let after = Bounds {
            compacted_through: if sweep {
                after.compacted_through
            } else {
                before.compacted_through
            },
            ..after
        };
        if after != before || asked.is_some() {
            let note = asked.map(|asked| note(asked, before, after));
            self.store.raise_bounds(lease, after, note.as_ref()).await?;
        }
        self.tell_losses(module, work, &decision);
        work.prune_below = after.retained_from;
        if sweep {
            work.compaction.begin(after.retained_from, through);
        }
        self.age_tombstones(module, head, after.retained_from, work)
            .await?;
        Ok(Some(decision))
    }

    /// Says once per target, until it has caught up, that it loses changes; and counts them.
    fn tell_losses(&self, module: &ModuleName, work: &mut Work, decision: &Decision) {
        let behind = |target: &String| decision.forced.iter().any(|(name, _)| name == target);
        work.losers.retain(behind);
        for (target, changes) in decision.forced.iter().filter(|(_, changes)| *changes > 0) {
            let labels = [("module", module.to_string()), ("target", target.clone())];
            metrics::counter!(metric::RETENTION_FORCED, &labels).increment(*changes);
            if work.losers.insert(target.clone()) {
                tracing::warn!(
                    %module,
                    broker = %target,
                    changes,
                    through = %decision.prune_through,
                    force_after = %self.settings.force_after,
                    "changes are pruned that this target never got: it has been behind for longer than retention.force_after"
                );
            }
        }
    }

    /// One batch of a module's work. Returns whether there is more.
    pub(super) async fn step(&self, lease: &Lease) -> store::Result<bool> {
        let module = &lease.module;
        if self.leadership.lease(module).as_ref() != Some(lease) {
            return Ok(false);
        }
        let mut all = self.work.lock().await;
        let Some(work) = all.get_mut(module).filter(|w| w.token == lease.token) else {
            return Ok(false);
        };
        if work.pruned_below < work.prune_below {
            self.prune(module, work).await?;
        } else if let Some(sweep) = work.compaction.sweep {
            self.sweep(module, work, sweep).await?;
        } else if work.tombstones.dropped_through < work.tombstones.drop_through {
            self.drop_tombstones(module, work).await?;
        }
        Ok(work.pruned_below < work.prune_below
            || work.compaction.sweep.is_some()
            || work.tombstones.dropped_through < work.tombstones.drop_through)
    }

    async fn prune(&self, module: &ModuleName, work: &mut Work) -> store::Result<()> {
        let goal = work.prune_below;
        let window = self.window(module, work.pruned_below, goal.before(), Which::All);
        let swept = self.store.delete_rows(window).await?;
        let full = swept.seen >= u64::from(self.settings.batch);
        work.pruned_below = match swept.last {
            Some(last) if full => last.next(),
            _ => goal,
        };
        work.done.pruned += swept.meant;
        count_rows(module, "pruned", swept.meant);
        Ok(())
    }

    async fn sweep(
        &self,
        module: &ModuleName,
        work: &mut Work,
        mut sweep: Sweep,
    ) -> store::Result<()> {
        let window = self.window(module, sweep.from, sweep.through, Which::Superseded);
        let swept = self.store.delete_rows(window).await?;
        sweep.kept += swept.seen.saturating_sub(swept.meant);
        let full = swept.seen >= u64::from(self.settings.batch);
        match swept.last {
            Some(last) if full => {
                sweep.from = last.next();
                work.compaction.sweep = Some(sweep);
            }
            _ => work.compaction.finish(sweep, Instant::now()),
        }
        work.done.superseded += swept.meant;
        count_rows(module, "superseded", swept.meant);
        Ok(())
    }

    pub(super) const fn window<'a>(
        &self,
        module: &'a ModuleName,
        from: Position,
        through: Position,
        which: Which,
    ) -> Window<'a> {
        Window {
            module,
            from,
            through,
            limit: self.settings.batch,
            which,
        }
    }
}

fn note(asked: &AskedBy, before: Bounds, after: Bounds) -> Note {
    let json = |bounds: Bounds| {
        serde_json::json!({
            "retained_from": bounds.retained_from,
            "compacted_through": bounds.compacted_through,
        })
    };
    Note {
        actor: asked.actor.clone(),
        action: ACTION.to_owned(),
        before: json(before),
        after: json(after),
        reason: asked.reason.clone(),
    }
}
