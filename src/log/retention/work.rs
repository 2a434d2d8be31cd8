//! What is left to do of one module, under one lease.
//!
//! All of it can be found out again: a restart or a take-over begins with nothing and misses nothing.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use crate::domain::Position;

/// A module's work.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Of the lease.
    pub(super) token: i64,
    /// Rows below it are known to be gone.
    pub(super) pruned_below: Position,
    /// Rows below it are to go.
    pub(super) prune_below: Position,
    pub(super) compaction: Compaction,
    pub(super) tombstones: Tombstones,
    /// What has been done so far.
    pub(super) done: Done,
    /// Targets of which it was said that they lose changes.
    pub(super) losers: HashSet<String>,
}

/// Rows deleted, by what they were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) pruned: u64,
    pub(super) superseded: u64,
    pub(super) tombstones: u64,
}

impl Done {
    pub(super) const fn since(self, before: Self) -> Self {
        Self {
            pruned: self.pruned.saturating_sub(before.pruned),
            superseded: self.superseded.saturating_sub(before.superseded),
            tombstones: self.tombstones.saturating_sub(before.tombstones),
        }
    }
}

/// Looking through a log for changes that later ones have replaced.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    pub(super) sweep: Option<Sweep>,
    swept_through: Position,
    /// Rows that the last sweep left.
    kept: u64,
    swept_at: Option<Instant>,
}

/// One walk over a log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sweep {
    pub(super) from: Position,
    pub(super) through: Position,
    pub(super) kept: u64,
}

/// Of what was kept, such a share must have been added before all of it is looked through again …
const DIRTY_SHARE: u64 = 10;
/// … or so much time has passed.
const SWEEP_EVERY: Duration = Duration::from_hours(1);

impl Compaction {
    /// Whether a walk up to `through` is worth its while. A log of one batch always is.
    pub(super) fn is_due(&self, through: Position, batch: u64, asked: bool, now: Instant) -> bool {
        if self.sweep.is_some() || through <= self.swept_through {
            return false;
        }
        let added = through.get() - self.swept_through.get();
        let late = |at: Instant| now.duration_since(at) >= SWEEP_EVERY;
        asked
            || self.kept <= batch
            || added >= self.kept / DIRTY_SHARE
            || self.swept_at.is_none_or(late)
    }

    pub(super) fn begin(&mut self, from: Position, through: Position) {
        let kept = 0;
        self.sweep = Some(Sweep {
            from,
            through,
            kept,
        });
    }

    /// The walk has come to its end.
    pub(super) fn finish(&mut self, sweep: Sweep, now: Instant) {
        self.swept_through = sweep.through;
        self.kept = sweep.kept;
        self.swept_at = Some(now);
        self.sweep = None;
    }
}

/// Dropping deleted keys from the state.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    /// When the marks are looked at next.
    pub(super) look_at: Option<Instant>,
    /// Everything up to here is old enough.
    pub(super) old_through: Position,
    /// Tombstones up to here may go.
    pub(super) drop_through: Position,
    /// They are gone up to here.
    pub(super) dropped_through: Position,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_log_is_walked_when_enough_was_added() {
        let now = Instant::now();
        let mut compaction = Compaction::default();
        let at = Position::new;
        assert!(
            compaction.is_due(at(5_000), 100, false, now),
            "never walked"
        );
        compaction.begin(at(1), at(5_000));
        assert!(!compaction.is_due(at(6_000), 100, true, now), "under way");
        let mut sweep = compaction.sweep.unwrap();
        sweep.kept = 2_000;
        compaction.finish(sweep, now);
        assert!(!compaction.is_due(at(5_000), 100, true, now), "nothing new");
        assert!(!compaction.is_due(at(5_100), 100, false, now));
        assert!(compaction.is_due(at(5_100), 100, true, now));
        assert!(compaction.is_due(at(5_200), 100, false, now));
        assert!(compaction.is_due(at(5_001), 100, false, now + SWEEP_EVERY));
        assert!(compaction.is_due(at(5_001), 2_000, false, now), "one batch");
    }
}
