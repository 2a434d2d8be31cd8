//! What the next look at the outbox may leave out.
//!
//! Rows that were numbered stay behind as dead rows while a long snapshot is open elsewhere, and
//! a look from the start walks over all of them. Where the database tells rows by their transaction, marks say exactly
//! what earlier looks have had (`marks.rs`), and every look begins there. Elsewhere a floor of ids spares idle looks the walk: rows that
//! commit late with a low id are found while the floor lags behind, with the next row above it, else by
//! the full scan.
//!
//! Invariant: rows are never numbered from a look above a floor of ids, or a late commit would come after
//! later ones of its key; and a mark moves only over rows whose numbering is confirmed.

use std::time::{Duration, Instant};

use super::marks::Marks;
use crate::{
    config::sequencer::Sequencer as Bounds,
    domain::ModuleName,
    store::{Beyond, Mark},
};

/// How long the floor of ids lags behind those that were numbered: writers that commit within it are
/// seen at once.
const LAG: Duration = Duration::from_millis(250);

/// Marks are exact, unless somebody goes behind the back of the database. So once in a while everything is looked at all the same.
const FULL_SCAN_WITH_MARKS: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Floor {
    full_scan: Duration,
    full_at: Instant,
    /// What the looks were for: rows of any other module may lie below.
    modules: Vec<ModuleName>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Marks(Marks),
    Ids(Ids),
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
    /// A floor of nothing, by marks if the database knows them.
    pub(super) fn new(bounds: &Bounds, by_marks: bool, now: Instant) -> Self {
        let full_scan = Duration::from_millis(bounds.full_scan_ms);
        let (full_scan, kind) = if by_marks {
            let full_scan = full_scan.max(FULL_SCAN_WITH_MARKS);
            (full_scan, Kind::Marks(Marks::new()))
        } else {
            (full_scan, Kind::Ids(Ids::new(now)))
        };
        Self {
            full_scan,
            full_at: now,
            modules: Vec::new(),
            kind,
        }
    }

    /// What the next look for rows of `modules` may leave out.
    pub(super) fn next_look(&mut self, modules: &[ModuleName], now: Instant) -> Beyond {
        if self.modules != modules {
            modules.clone_into(&mut self.modules);
            self.reset();
        }
        let is_due = now >= self.full_at;
        let beyond = match &mut self.kind {
            Kind::Marks(marks) => {
                if is_due && !marks.are_walking() {
                    marks.walk();
                }
                marks.next_look()
            }
            Kind::Ids(ids) => ids.next_look(is_due, now),
        };
        if is_due || beyond == Beyond::Nothing {
            self.full_at = now + self.full_scan;
        }
        beyond
    }

    /// Whether part of the outbox was not looked at yet since the floor began anew: the next look should come at once.
    pub(super) fn is_walking(&self) -> bool {
        match &self.kind {
            Kind::Marks(marks) => marks.are_walking(),
            Kind::Ids(_) => false,
        }
    }

    /// A look found nothing, in this time.
    pub(super) fn found_nothing(&mut self, mark: Option<Mark>, took: Duration) {
        if let (Kind::Marks(marks), Some(mark)) = (&mut self.kind, mark) {
            marks.found_nothing(mark, took);
        }
    }

    /// What a look found, up to `id`, was numbered in a confirmed commit.
    pub(super) fn numbered(&mut self, id: i64, mark: Option<Mark>) {
        match &mut self.kind {
            Kind::Marks(marks) => marks.numbered(mark),
            Kind::Ids(ids) => ids.numbered(id),
        }
    }

    /// The floor begins anew: after an error nothing is known, and when a lease was taken somebody may have put another database in
    /// place of the one that was looked at.
    pub(super) fn reset(&mut self) {
        match &mut self.kind {
            Kind::Marks(marks) => marks.walk_carefully(),
            Kind::Ids(ids) => ids.reset(),
        }
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

    /// Nothing is left out when a full scan is due, and while rows are coming.
    fn next_look(&mut self, is_due: bool, now: Instant) -> Beyond {
        if now >= self.window_ends {
            self.value = self.pending;
            self.pending = self.highest;
            self.window_ends = now + LAG;
        }
        if std::mem::take(&mut self.busy) || self.value == 0 || is_due {
            return Beyond::Nothing;
        }
        Beyond::Id(self.value)
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

    fn modules(names: &[&str]) -> Vec<ModuleName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn begins_anew(beyond: Beyond) -> bool {
        matches!(beyond, Beyond::Mark { mark, .. } if mark == Mark::NOTHING)
    }

    /// Looks until everything was looked at.
    fn walk(floor: &mut Floor, modules: &[ModuleName], now: Instant) {
        assert!(begins_anew(floor.next_look(modules, now)));
        while floor.is_walking() {
            let Beyond::Mark { mark, through } = floor.next_look(modules, now) else {
                panic!("this floor knows marks");
            };
            let id = mark.id.max(through);
            let passed = Mark { id, transaction: 7 };
            floor.found_nothing(Some(passed), Duration::ZERO);
        }
        assert!(!begins_anew(floor.next_look(modules, now)));
    }

    #[test]
    fn a_mark_holds_for_the_modules_that_were_looked_for() {
        let now = Instant::now();
        let (ours, more) = (modules(&["a"]), modules(&["a", "b"]));
        let mut floor = Floor::new(&Bounds::default(), true, now);
        walk(&mut floor, &ours, now);
        walk(&mut floor, &more, now);
        floor.reset();
        walk(&mut floor, &more, now);
    }

    #[test]
    fn once_a_minute_a_mark_is_not_believed() {
        let (mut now, ours) = (Instant::now(), modules(&["a"]));
        let mut floor = Floor::new(&Bounds::default(), true, now);
        walk(&mut floor, &ours, now);
        let mut full = 0;
        for _ in 0..180 {
            now += Duration::from_secs(1);
            if begins_anew(floor.next_look(&ours, now)) {
                full += 1;
                walk(&mut floor, &ours, now);
            }
        }
        assert_eq!(full, 3);
    }

    #[test]
    fn without_marks_only_idle_looks_leave_something_out() {
        let (mut now, ours) = (Instant::now(), modules(&["a"]));
        let mut floor = Floor::new(&Bounds::default(), false, now);
        floor.next_look(&ours, now);
        floor.numbered(5, None);
        for _ in 0..2 {
            now += LAG;
            floor.numbered(5, None);
            assert_eq!(floor.next_look(&ours, now), Beyond::Nothing);
        }
        assert_eq!(floor.next_look(&ours, now), Beyond::Id(5));
        floor.found_nothing(None, Duration::ZERO);
        assert_eq!(floor.next_look(&ours, now), Beyond::Id(5));
        now += Duration::from_secs(1);
        assert_eq!(floor.next_look(&ours, now), Beyond::Nothing);
    }
}
