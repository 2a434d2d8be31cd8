//! Rows of modules that no configuration names: parked, but only after a while.
//!
//! In a rolling deployment an old replica sees rows of a new module before the configuration
//! that names it. So a row waits until this replica has seen it for `outbox.unknown_module_after`.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Rules, Sequencer, floor::Floor};
use crate::{
    domain::ModuleName,
    store::{self, Batch, OutboxRow, Parked},
    telemetry::metric,
};

/// Samples kept over the waiting time; more would only make it more exact.
const SAMPLES: u32 = 64;
const MIN_PERIOD: Duration = Duration::from_millis(100);

/// Which ids of unknown modules had been seen by when.
#[derive(Debug)]
pub(super) struct Strangers {
    wait: Duration,
    look_at: Option<Instant>,
    /// Highest id of an unknown module, and when it had been seen. Oldest first.
    seen: VecDeque<(Instant, i64)>,
    /// Stays below the first row of an unknown module.
    pub(super) floor: Floor,
}

impl Strangers {
    pub(super) fn new(rules: &Rules, now: Instant) -> Self {
        Self {
            wait: rules.outbox.unknown_module_after.get(),
            look_at: None,
            seen: VecDeque::new(),
            floor: Floor::new(&rules.bounds, now),
        }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.look_at.is_none_or(|at| now >= at);
        if due {
            self.look_at = Some(now + (self.wait / SAMPLES).max(MIN_PERIOD));
        }
        due
    }

    fn saw(&mut self, id: i64, now: Instant) {
        if self.seen.back().is_none_or(|(_, known)| *known < id) {
            self.seen.push_back((now, id));
        }
    }

    /// The highest id that has waited long enough. It stays known, in case that parking fails.
    fn ripe(&mut self, now: Instant) -> Option<i64> {
        let wait = self.wait;
        let ripe = |(at, _): &(Instant, i64)| now.duration_since(*at) >= wait;
        while self.seen.get(1).is_some_and(ripe) {
            self.seen.pop_front();
        }
        let front = self.seen.front().filter(|seen| ripe(seen));
        front.map(|(_, id)| *id)
    }
}

impl Sequencer {
    pub(super) async fn park_strangers(&mut self) -> store::Result<()> {
        let now = Instant::now();
        if !self.strangers.is_due(now) {
            return Ok(());
        }
        let rows = self.look_for_strangers(now).await?;
        if let Some(last) = rows.last() {
            self.strangers.saw(last.id, now);
        }
        let Some(ripe) = self.strangers.ripe(now) else {
            return Ok(());
        };
        let rows = rows.into_iter().filter(|row| row.id <= ripe).collect();
        self.park(rows).await
    }

    async fn look_for_strangers(&mut self, now: Instant) -> store::Result<Vec<OutboxRow>> {
        let modules = &self.served.modules;
        let beyond = self.strangers.floor.next_look(modules, now);
        let look = self.look_beyond(beyond, modules, true).await?;
        if look.rows.is_empty() {
            self.strangers.floor.found_nothing(look.mark);
        }
        Ok(look.rows)
    }

    async fn park(&mut self, rows: Vec<OutboxRow>) -> store::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let count = rows.len();
        let batch = Batch {
            delete: rows.iter().map(|row| row.id).collect(),
            parked: rows.into_iter().map(park_unknown).collect(),
            ..Batch::default()
        };
        let mut tx = self.store.begin_numbering(&[]).await?;
        tx.write(&batch, self.rhythm.lease).await?;
        tx.commit().await?;
        // The module's name is a stranger's text: not a label.
        metrics::counter!(metric::REJECTED, "module" => "", "reason" => "module")
            .increment(count as u64);
        tracing::warn!(
            rows = count,
            "outbox rows of unknown modules were parked: `changeover outbox rejected list`"
        );
        Ok(())
    }
}

fn park_unknown(row: OutboxRow) -> Parked {
    let name = String::from_utf8_lossy(&row.module).into_owned();
    let reason = match name.parse::<ModuleName>() {
        Ok(module) => format!("module: no configuration names `{module}`"),
        Err(invalid) => format!("module: {}", invalid.why),
    };
    Parked { row, reason }
}
