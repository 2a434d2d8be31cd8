//! Deleted keys in the state: how old they are, and letting them go.
//!
//! A tombstone carries no time, and its row of the log may be gone. So the log's head is marked from time
//! to time with the database's clock: what stands at or below a mark is at least as old as the mark. That
//! needs nothing of those who write the state, older replicas included.

use std::time::{Duration, Instant};

use super::{Retention, count_rows, work::Work};
use crate::{
    domain::{ModuleName, Position},
    store::{self, Aged, Head},
};

/// Marks made during `retention.tombstone_age`: more would only make it more exact.
const MARKS: u32 = 32;

impl Retention {
    /// Finds out which tombstones may go: old ones, from below `retained_from`. Whoever has not seen a
    /// position below it is too old by its cursor, and is told so.
    pub(super) async fn age_tombstones(
        &self,
        module: &ModuleName,
        head: &Head,
        retained_from: Position,
        work: &mut Work,
    ) -> store::Result<()> {
        if !self.policies[module].state {
            return Ok(());
        }
        let now = Instant::now();
        let tombstones = &mut work.tombstones;
        if tombstones.look_at.is_none_or(|at| now >= at) {
            let marks = self.store.marks(module).await?;
            let age = self.settings.tombstone_age.get();
            tombstones.old_through = old_through(&marks, age);
            if mark_is_due(&marks, self.mark_every()) {
                let keep_from = tombstones.old_through;
                self.store.mark(module, head.head, keep_from).await?;
            }
            tombstones.look_at = Some(now + self.mark_every());
        }
        tombstones.drop_through = tombstones.old_through.min(retained_from.before());
        Ok(())
    }

    pub(super) async fn drop_tombstones(
        &self,
        module: &ModuleName,
        work: &mut Work,
    ) -> store::Result<()> {
        let (through, batch) = (work.tombstones.drop_through, self.settings.batch);
        let rows = self.store.drop_tombstones(module, through, batch).await?;
        if rows < u64::from(batch) {
            work.tombstones.dropped_through = through;
        }
        work.done.tombstones += rows;
        count_rows(module, "tombstone", rows);
        Ok(())
    }

    fn mark_every(&self) -> Duration {
        self.settings.tombstone_age.get() / MARKS
    }
}

/// The last position that is surely older than `age`.
fn old_through(marks: &[Aged], age: Duration) -> Position {
    let old = marks.iter().filter(|mark| mark.age >= age);
    old.map(|mark| mark.position)
        .max()
        .unwrap_or(Position::ZERO)
}

fn mark_is_due(marks: &[Aged], every: Duration) -> bool {
    let youngest = marks.iter().map(|mark| mark.age).min();
    youngest.is_none_or(|age| age >= every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_as_old_as_the_mark_above_it() {
        let mark = |position, secs| Aged {
            position: Position::new(position),
            age: Duration::from_secs(secs),
        };
        let marks = [mark(10, 300), mark(20, 200), mark(30, 100)];
        let old = |secs| old_through(&marks, Duration::from_secs(secs)).get();
        assert_eq!(
            [old(301), old(300), old(250), old(100), old(1)],
            [0, 10, 10, 30, 30]
        );
        assert!(mark_is_due(&marks, Duration::from_secs(100)));
        assert!(!mark_is_due(&marks, Duration::from_secs(101)));
        assert!(mark_is_due(&[], Duration::from_secs(1)));
    }
}
