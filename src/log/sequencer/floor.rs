//! The id below which a fast look at the outbox does not search.
//!
//! Rows that were numbered stay behind as dead rows while a long snapshot is open elsewhere, and
//! a scan from the start walks over all of them. The floor spares idle looks that. Rows that commit
//! late with a low id are found while the floor lags behind, with the next row above it, else by
//! the full scan.
//!
//! Invariant: rows are never numbered from a scan above a floor, or a late commit would come after
//! later ones of its key.

use std::time::{Duration, Instant};

use crate::config::sequencer::Sequencer as Bounds;

/// How long the floor lags behind the ids that were numbered: writers that commit within it are
/// seen at once.
const LAG: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Floor {
    full_scan: Duration,
    full_at: Instant,
    value: i64,
    /// The highest id numbered when the window began; it becomes the floor when the window ends.
    pending: i64,
    highest: i64,
    window_ends: Instant,
    /// Rows came with the last scan: more are likely, and then only a full scan counts.
    busy: bool,
}

impl Floor {
    pub(super) fn new(bounds: &Bounds, now: Instant) -> Self {
        Self {
            full_scan: Duration::from_millis(bounds.full_scan_ms),
            full_at: now,
            value: 0,
            pending: 0,
            highest: 0,
            window_ends: now + LAG,
            busy: false,
        }
    }

    /// The id above which the next scan looks: zero when a full scan is due, or rows were coming.
    pub(super) fn next_scan(&mut self, now: Instant) -> i64 {
        if now >= self.window_ends {
            self.value = self.pending;
            self.pending = self.highest;
            self.window_ends = now + LAG;
        }
        if std::mem::take(&mut self.busy) || now >= self.full_at {
            self.full_at = now + self.full_scan;
            return 0;
        }
        self.value
    }

    /// Rows up to `id` were numbered in a confirmed commit.
    pub(super) fn numbered(&mut self, id: i64) {
        self.highest = self.highest.max(id);
        self.busy = true;
    }

    /// The next scan is a full one, and the floor begins anew: after an error, and when a module
    /// was taken over whose rows were none of ours before.
    pub(super) fn reset(&mut self) {
        self.value = 0;
        self.pending = 0;
        self.highest = 0;
    }
}
