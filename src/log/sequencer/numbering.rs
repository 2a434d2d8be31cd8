//! One batch: from the outbox into the log.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Instant,
};

use super::{
    Pass, Sequencer,
    plan::{Known, Plan, Unfenced, plan},
};
use crate::{
    domain::{Limits, ModuleName, NewChange},
    log::admit::admit,
    store::{self, Batch, Beyond, Lease, Look, Mark, NumberingTx, OutboxRow, Parked, Scan},
    telemetry::metric,
};

/// Outbox rows after judgement.
#[derive(Default)]
struct Judged {
    changes: Vec<NewChange>,
    parked: Vec<Parked>,
    delete: Vec<i64>,
    /// What later looks may leave out once all this is committed.
    mark: Option<Mark>,
}

impl Judged {
    /// Judges the rows of the modules that `leases` are for. Others stay in the outbox: what is deleted here must
    /// be numbered or parked in the same transaction.
    fn of(look: Look, leases: &[Lease], limits: &Limits) -> Self {
        let modules = leases.iter().map(|lease| &lease.module);
        let by_bytes: HashMap<&[u8], &ModuleName> =
            modules.map(|m| (m.as_str().as_bytes(), m)).collect();
        let mut judged = Self {
            mark: look.mark,
            ..Self::default()
        };
        for row in look.rows {
            let Some(module) = by_bytes.get(row.module.as_slice()) else {
                judged.mark = None;
                continue;
            };
            judged.delete.push(row.id);
            match admit(&row, module, limits) {
                Ok(change) => judged.changes.push(change),
                Err(reason) => judged.parked.push(Parked { row, reason }),
            }
        }
        judged
    }
}

impl Sequencer {
    /// Numbers one batch, if there is anything to number.
    pub(super) async fn number_batch(&mut self) -> store::Result<Pass> {
        let mut leases = self.may_number();
        if leases.is_empty() {
            return Ok(Pass::Idle);
        }
        let modules: Vec<_> = leases.iter().map(|lease| lease.module.clone()).collect();
        let look = self.look(&modules).await?;
        if look.rows.is_empty() {
            self.floor.found_nothing(look.mark);
            return Ok(Pass::Idle);
        }
        let full = look.rows.len() >= self.rules.bounds.batch as usize;
        keep_those_of(&mut leases, &look.rows);
        let judged = Judged::of(look, &leases, &self.rules.limits);
        self.commit(&leases, judged).await?;
        Ok(if full { Pass::Full } else { Pass::Busy })
    }

    /// The leases to number under. They are looked up once per batch: one that goes meanwhile is met by the fence.
    fn may_number(&self) -> Vec<Lease> {
        let leases = self.leadership.leases().into_iter();
        let valid = leases.filter_map(|lease| self.leadership.lease(&lease.module));
        let valid = valid.filter(|lease| !self.witnesses.are_open(&lease.module));
        valid.collect()
    }

    /// Above a floor of ids only to see whether there is anything. What is numbered comes from a look that would
    /// find every row: one below the floor may have committed before one above it, and a writer that
    /// waited for the first one's lock has written the second of one key.
    async fn look(&mut self, modules: &[ModuleName]) -> store::Result<Look> {
        let beyond = self.floor.next_look(modules, Instant::now());
        let look = self.look_beyond(beyond, modules, false).await?;
        if look.rows.is_empty() || !matches!(beyond, Beyond::Id(_)) {
            return Ok(look);
        }
        self.look_beyond(Beyond::Nothing, modules, false).await
    }

    /// One look for rows of `modules`, or of all others.
    pub(super) async fn look_beyond(
        &self,
        beyond: Beyond,
        modules: &[ModuleName],
        except: bool,
    ) -> store::Result<Look> {
        self.store
            .scan_outbox(Scan {
                modules,
                except,
                beyond,
                rows: self.rules.bounds.batch,
                bytes: self.rules.bounds.batch_bytes,
            })
            .await
    }

    /// The numbering transaction, and what follows from its commit.
    async fn commit(&mut self, leases: &[Lease], judged: Judged) -> store::Result<()> {
        let began = Instant::now();
        let mut tx = self.store.begin_numbering(leases).await?;
        if tx
            .heads()
            .iter()
            .any(|head| self.is_restored(&head.module, head.cursor()))
        {
            // The next pass leaves these modules out, until a new epoch has begun.
            return Ok(());
        }
        let changes = without_repeats(tx.as_mut(), judged.changes).await?;
        self.learn_channels(tx.as_mut(), &changes).await?;
        let (heads, now) = (tx.heads(), tx.now());
        let with_state = &self.served.with_state;
        let known = Known {
            channels: &self.channels,
            pacing: &self.pacing,
            with_state,
        };
        let planned = plan(changes, leases, heads, (now, Instant::now()), known);
        let mut plan = planned.map_err(|Unfenced { module }| store::Error::LeaseLost { module })?;
        let batch = Batch {
            rows: std::mem::take(&mut plan.rows),
            parked: judged.parked,
            delete: judged.delete,
            heads: std::mem::take(&mut plan.heads),
        };
        tx.write(&batch, self.rhythm.lease).await?;
        tx.commit().await?;
        self.leadership.hold(leases, began, self.rhythm.lease);
        plan.rows = batch.rows;
        let highest = batch.delete.iter().copied().max();
        self.floor.numbered(highest.unwrap_or(0), judged.mark);
        self.publish(plan, &batch.parked);
        Ok(())
    }

    async fn learn_channels(
        &mut self,
        tx: &mut dyn NumberingTx,
        changes: &[NewChange],
    ) -> store::Result<()> {
        let channels = changes
            .iter()
            .map(|c| (c.module.clone(), c.audience.clone()));
        let unknown: HashSet<_> = channels.filter(|c| !self.channels.knows(c)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let unknown: Vec<_> = unknown.into_iter().collect();
        let lasts = tx.last_positions(&unknown).await?;
        self.channels.remember(lasts);
        Ok(())
    }

    fn follow_ticks(&mut self, plan: &Plan) {
        for (module, writer) in &plan.ticks {
            self.pacing.written(module, writer);
        }
    }

    /// After the confirmed commit: memory follows.
    fn publish(&mut self, plan: Plan, parked: &[Parked]) {
        self.follow_ticks(&plan);
        for (module, changes) in plan.by_module() {
            // A hole means that the tail is not filled yet; its reader fetches these rows then.
            let _whole = self.tail.append(&module, &changes);
            metrics::counter!(metric::SEQUENCED, "module" => module.to_string())
                .increment(changes.len() as u64);
        }
        for closed in &plan.closed {
            self.tail.close(closed);
        }
        self.channels.remember(plan.lasts);
        self.channels.trim();
        for Parked { row, reason } in parked {
            let module = String::from_utf8_lossy(&row.module).into_owned();
            let word = reason.split(':').next().unwrap_or_default().to_owned();
            tracing::warn!(
                module,
                reason,
                "an outbox row was parked: `changeover outbox rejected list`"
            );
            metrics::counter!(metric::REJECTED, "module" => module, "reason" => word).increment(1);
        }
    }
}

/// Leaves out the leases of modules that none of the rows is of.
fn keep_those_of(leases: &mut Vec<Lease>, rows: &[OutboxRow]) {
    let modules: BTreeSet<&[u8]> = rows.iter().map(|row| row.module.as_slice()).collect();
    leases.retain(|lease| modules.contains(lease.module.as_str().as_bytes()));
}

/// Leaves out changes whose id was numbered before, in this batch or earlier.
async fn without_repeats(
    tx: &mut dyn NumberingTx,
    changes: Vec<NewChange>,
) -> store::Result<Vec<NewChange>> {
    let id_of = |change: &NewChange| Some((change.module.clone(), change.change_id.clone()?));
    let ids: HashSet<_> = changes.iter().filter_map(id_of).collect();
    if ids.is_empty() {
        return Ok(changes);
    }
    let ids: Vec<_> = ids.into_iter().collect();
    let mut seen = tx.seen(&ids).await?;
    let first = |change: &NewChange| id_of(change).is_none_or(|id| seen.insert(id));
    Ok(changes.into_iter().filter(first).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_a_lease_stay_in_the_outbox() {
        let row = |id, module: &str| OutboxRow {
            id,
            module: module.into(),
            audience: Some(b"*".to_vec()),
            key: Some(b"k".to_vec()),
            op: Some(b"upsert".to_vec()),
            value: Some(b"1".to_vec()),
            change_id: None,
            occurred_at: None,
        };
        let lease = Lease {
            module: "held".parse().unwrap(),
            token: 1,
        };
        let look = |rows| Look {
            rows,
            mark: Some(Mark {
                id: 3,
                transaction: 9,
            }),
        };
        let rows = vec![row(1, "held"), row(2, "lost"), row(3, "held")];
        let lease = [lease];
        let judged = Judged::of(look(rows), &lease, &Limits::default());
        assert_eq!((judged.changes.len(), judged.parked.len()), (2, 0));
        assert_eq!(judged.delete, [1, 3]);
        assert_eq!(judged.mark, None, "row 2 is there still");
        let judged = Judged::of(look(vec![row(1, "held")]), &lease, &Limits::default());
        assert_eq!(judged.mark, look(Vec::new()).mark);
    }
}
