//! What the next look at the outbox may leave out.
//!
//! Rows that were numbered stay behind as dead rows while a long snapshot is open elsewhere, and
//! a look from the start walks over all of them. Where the database tells rows by their transaction, a mark says exactly
//! what earlier looks have had, and every look begins there. Elsewhere a floor of ids spares idle looks the walk: rows that
//! commit late with a low id are found while the floor lags behind, with the next row above it, else by the full scan.
//!
//! Invariant: rows are never numbered from a look above a floor of ids, or a late commit would come after
//! later ones of its key; and a mark moves only over rows whose numbering is confirmed.

use std::time::{Duration, Instant};

use crate::{
    config::sequencer::Sequencer as Bounds,
    domain::ModuleName,
    store::{Beyond, Mark},
};

/// How long the floor of ids lags behind those that were numbered: writers that commit within it are
/// seen at once.
const LAG: Duration = Duration::from_millis(250);

/// Marks are exact for rows that producers insert. Rows that somebody copies from another server with its transaction
/// numbers lie anywhere, so once in a while everything is looked at all the same.
const FULL_SCAN_WITH_MARKS: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Floor {
    full_scan: Duration,
    full_at: Instant,
    /// What the looks were for: rows of any other module may lie below.
    modules: Vec<ModuleName>,
    mark: Option<Mark>,
    ids: Ids,
}

/// The floor of ids.
#[derive(Debug)]
struct Ids {
    value: i64,
    /// The highest id numbered when the window began; it becomes the floor when the window ends.
    pending: i64,
    highest: i64,
    window_ends: Instant,
    /// Rows came with the last look: more are likely, and then only a full scan counts.
    busy: bool,
}

impl Floor {
    pub(super) fn new(bounds: &Bounds, now: Instant) -> Self {
        Self {
            full_scan: Duration::from_millis(bounds.full_scan_ms),
            full_at: now,
            modules: Vec::new(),
            mark: None,
            ids: Ids::new(now),
        }
    }

    /// What the next look for rows of `modules` may leave out: nothing when a full scan is due, and above a floor of ids
    /// nothing while rows are coming.
    pub(super) fn next_look(&mut self, modules: &[ModuleName], now: Instant) -> Beyond {
        if self.modules != modules {
            modules.clone_into(&mut self.modules);
            self.reset();
        }
        self.ids.follow(now);
        let beyond = match self.mark {
            Some(mark) => Beyond::Mark(mark),
            None if self.ids.leave_nothing_out() => Beyond::Nothing,
            None => Beyond::Id(self.ids.value),
        };
        if beyond != Beyond::Nothing && now < self.full_at {
            return beyond;
        }
        self.full_at = now + self.between_full_scans();
        Beyond::Nothing
    }

    fn between_full_scans(&self) -> Duration {
        match self.mark {
            Some(_) => self.full_scan.max(FULL_SCAN_WITH_MARKS),
            None => self.full_scan,
        }
    }

    /// A look found nothing.
    pub(super) fn found_nothing(&mut self, mark: Option<Mark>) {
        self.mark = mark;
    }

    /// What a look found, up to `id`, was numbered in a confirmed commit.
    pub(super) fn numbered(&mut self, id: i64, mark: Option<Mark>) {
        self.mark = mark;
        self.ids.numbered(id);
    }

    /// The next look leaves out nothing, and the floor begins anew: after an error nothing is known.
    pub(super) fn reset(&mut self) {
        self.mark = None;
        self.ids.reset();
    }
}

impl Ids {
    fn new(now: Instant) -> Self {
        Self {
            value: 0,
            pending: 0,
            highest: 0,
            window_ends: now + LAG,
            busy: false,
        }
    }

    fn follow(&mut self, now: Instant) {
        if now >= self.window_ends {
            self.value = self.pending;
            self.pending = self.highest;
            self.window_ends = now + LAG;
        }
    }

    fn leave_nothing_out(&mut self) -> bool {
        std::mem::take(&mut self.busy) || self.value == 0
    }

    fn numbered(&mut self, id: i64) {
        self.highest = self.highest.max(id);
        self.busy = true;
    }

    fn reset(&mut self) {
        self.value = 0;
        self.pending = 0;
        self.highest = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark {
        id: i64::MAX,
        transaction: 7,
    };

    fn modules(names: &[&str]) -> Vec<ModuleName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_mark_holds_for_the_modules_that_were_looked_for() {
        let now = Instant::now();
        let (ours, more) = (modules(&["a"]), modules(&["a", "b"]));
        let mut floor = Floor::new(&Bounds::default(), now);
        assert_eq!(floor.next_look(&ours, now), Beyond::Nothing);
        floor.numbered(5, Some(MARK));
        assert_eq!(floor.next_look(&ours, now), Beyond::Mark(MARK));
        assert_eq!(floor.next_look(&more, now), Beyond::Nothing);
        floor.found_nothing(Some(MARK));
        assert_eq!(floor.next_look(&more, now), Beyond::Mark(MARK));
        floor.reset();
        assert_eq!(floor.next_look(&more, now), Beyond::Nothing);
    }

    #[test]
    fn once_a_minute_a_mark_is_not_believed() {
        let (mut now, ours) = (Instant::now(), modules(&["a"]));
        let mut floor = Floor::new(&Bounds::default(), now);
        floor.next_look(&ours, now);
        floor.found_nothing(Some(MARK));
        let mut full = 0;
        for _ in 0..180 {
            now += Duration::from_secs(1);
            full += u32::from(floor.next_look(&ours, now) == Beyond::Nothing);
        }
        // The first look knew no mark, and the next full one was due after `full_scan_ms`.
        assert_eq!(full, 3);
    }

    #[test]
    fn without_marks_only_idle_looks_leave_something_out() {
        let (mut now, ours) = (Instant::now(), modules(&["a"]));
        let mut floor = Floor::new(&Bounds::default(), now);
        floor.next_look(&ours, now);
        floor.numbered(5, None);
        for _ in 0..2 {
            now += LAG;
            floor.numbered(5, None);
            assert_eq!(floor.next_look(&ours, now), Beyond::Nothing);
        }
        assert_eq!(floor.next_look(&ours, now), Beyond::Id(5));
        floor.found_nothing(None);
        assert_eq!(floor.next_look(&ours, now), Beyond::Id(5));
        now += Duration::from_secs(1);
        assert_eq!(floor.next_look(&ours, now), Beyond::Nothing);
    }
}
