//! What one numbering transaction is to write: positions, predecessors, states. Pure.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use super::{
    channels::{Channel, Channels},
    pacing::{Pacing, TickWriter},
};
use crate::{
    domain::{Change, Micros, ModuleName, NewChange, Position},
    store::{Closed, FencedHead, HeadUpdate, Lease, NumberedRow},
};

/// A module's numbering, as it goes on row by row.
struct Writer<'a> {
    head: &'a FencedHead,
    position: Position,
    ticks: TickWriter,
}

/// What is remembered and configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// Knows the last position of every channel that has one in the log.
    pub(super) channels: &'a Channels,
    pub(super) pacing: &'a Pacing,
    pub(super) with_state: &'a HashSet<ModuleName>,
}

/// The numbered rows of a batch.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// In the order of the outbox.
    pub(super) rows: Vec<NumberedRow>,
    /// The last position of each channel in the batch.
    pub(super) lasts: HashMap<Channel, Position>,
    /// One per lease.
    pub(super) heads: Vec<HeadUpdate>,
    /// How far the ticks of each module with a time cursor are closed once this is committed.
    pub(super) closed: Vec<Closed>,
    /// Where each module's ticks stand then.
    pub(super) ticks: Vec<(ModuleName, TickWriter)>,
}

impl Plan {
    /// The changes of each module, by position.
    pub(super) fn by_module(&self) -> BTreeMap<ModuleName, Vec<Arc<Change>>> {
        let mut modules = BTreeMap::<_, Vec<_>>::new();
        for row in &self.rows {
            let changes = modules.entry(row.module.clone()).or_default();
            changes.push(Arc::clone(&row.change));
        }
        modules
    }
}

/// A change of a module whose head is not behind the fence. To leave it out would lose it: its row is deleted in the same
/// transaction.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfenced {
    pub(super) module: ModuleName,
}

/// Gives positions to `changes`, which stand in the order of the outbox and hold no repeats. `now` is the database's
/// time and this process's.
pub(super) fn plan(
    changes: Vec<NewChange>,
    leases: &[Lease],
    heads: &[FencedHead],
    (now, instant): (Micros, Instant),
    known: Known<'_>,
) -> Result<Plan, Unfenced> {
    let mut writers: HashMap<&ModuleName, Writer<'_>> = heads
        .iter()
        .map(|head| (&head.module, Writer::new(head, known.pacing, now)))
        .collect();
    let mut plan = Plan::default();
    for change in changes {
        let Some(writer) = writers.get_mut(&change.module) else {
            let module = change.module;
            return Err(Unfenced { module });
        };
        let channel = (change.module.clone(), change.audience.clone());
        let last = plan.lasts.get(&channel).copied();
        let previous = last
            .or_else(|| known.channels.get(&channel))
            .unwrap_or_else(|| writer.before_retention());
        let numbered = writer.number(change, previous, now);
        plan.lasts.insert(channel.clone(), numbered.position);
        plan.rows.push(NumberedRow {
            state: known.with_state.contains(&channel.0),
            module: channel.0,
            change: Arc::new(numbered),
        });
    }
    keep_last_states(&mut plan.rows);
    for lease in leases {
        if let Some(writer) = writers.remove(&lease.module) {
            let state = known.with_state.contains(&lease.module);
            writer.end(lease, (now, instant), state, &mut plan);
        }
    }
    Ok(plan)
}

impl<'a> Writer<'a> {
    fn new(head: &'a FencedHead, pacing: &Pacing, now: Micros) -> Self {
        Self {
            head,
            position: head.head,
            ticks: pacing.writer(head, now),
        }
    }

    /// The predecessor of a channel that has no row in the log: if it had one, it was pruned.
    fn before_retention(&self) -> Position {
        self.head.retained_from.before()
    }

    fn number(&mut self, change: NewChange, previous: Position, now: Micros) -> Change {
        self.position = self.position.next();
        Change {
            epoch: self.head.epoch,
            position: self.position,
            previous,
            audience: change.audience,
            key: change.key,
            op: change.op,
            value: change.value,
            change_id: change.change_id,
            occurred_at: change.occurred_at.unwrap_or(now),
            sequenced_at: self.ticks.next(),
        }
    }

    fn end(
        mut self,
        lease: &Lease,
        (now, instant): (Micros, Instant),
        state: bool,
        plan: &mut Plan,
    ) {
        let wrote = self.position > self.head.head;
        let through = self.ticks.close(now, instant);
        plan.heads.push(HeadUpdate {
            lease: lease.clone(),
            head: self.position,
            sequenced_through: through,
            stateless_from: (wrote && !state).then(|| self.head.head.next()),
        });
        if !self.ticks.is_paced() {
            return;
        }
        plan.closed.push(Closed {
            module: lease.module.clone(),
            epoch: self.head.epoch,
            head: self.position,
            through,
            now,
        });
        plan.ticks.push((lease.module.clone(), self.ticks));
    }
}

/// Of several changes of one key, only the last becomes its state.
fn keep_last_states(rows: &mut [NumberedRow]) {
    let mut later = HashSet::new();
    for row in rows.iter_mut().rev().filter(|row| row.state) {
        let change = Arc::clone(&row.change);
        row.state = later.insert((
            row.module.clone(),
            change.audience.clone(),
            change.key.clone(),
        ));
    }
}
