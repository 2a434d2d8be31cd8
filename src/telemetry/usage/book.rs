//! From counters that grow to rows of hours.
//!
//! Invariants: what was counted is in one row, once, and stays here until somebody has written it; what is kept of a database's absence
//! is bounded. A count belongs to the hour in which its span began.

use std::collections::{BTreeMap, HashMap};

use super::{Counts, NO_MODULE, Usage};
use crate::domain::{Micros, ModuleName, Stage, Transport};

/// Hours that wait for the database. In a longer absence the oldest are added up.
const MOST_HOURS: usize = 48;

const HOUR_MICROS: i64 = 3_600_000_000;

/// The beginning of the hour.
pub const fn hour_of(time: Micros) -> Micros {
    Micros::new(time.get() - time.get().rem_euclid(HOUR_MICROS))
}

/// An addition to an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// Its beginning.
    pub hour: Micros,
    /// The module, or [`NO_MODULE`].
    pub module: String,
    /// Which way.
    pub transport: Transport,
    /// The highest step of the ladder that was asked for meanwhile.
    pub stage: Stage,
    /// From when this was counted.
    pub from: Micros,
    /// To when, within the hour.
    pub to: Micros,
    /// What.
    pub counts: Counts,
}

impl UsageRow {
    fn join(&mut self, later: Self) {
        self.stage = self.stage.max(later.stage);
        self.from = self.from.min(later.from);
        self.to = self.to.max(later.to);
        self.counts = self.counts.plus(later.counts);
    }
}

/// By hour first: rows leave in this order, which is that of the table's key, so that two replicas lock them in the same one.
type Key = (Micros, String, &'static str);

/// What was counted and nobody has taken yet.
#[derive(Debug)]
pub struct Book {
    /// Up to when everything is in it.
    through: Micros,
    seen: HashMap<(String, Transport), Counts>,
    rows: BTreeMap<Key, UsageRow>,
}

impl Book {
    /// An empty book of a process that begins to count.
    pub fn new(now: Micros) -> Self {
        Self {
            through: now,
            seen: HashMap::new(),
            rows: BTreeMap::new(),
        }
    }

    /// When the present hour ends.
    pub fn hour_ends(&self) -> Micros {
        Micros::new(hour_of(self.through).get() + HOUR_MICROS)
    }

    /// Enters what was counted since the last time. `stage` is what is asked for of a module.
    pub fn enter(&mut self, usage: &Usage, stage: impl Fn(&ModuleName) -> Stage, now: Micros) {
        let hour = hour_of(self.through);
        let from = self.through;
        let to = now.max(from).min(self.hour_ends());
        for (module, transport, counts) in usage.counted() {
            let name = module.map_or(NO_MODULE, ModuleName::as_str).to_owned();
            let seen = self.seen.insert((name.clone(), transport), counts);
            let counts = counts.since(seen.unwrap_or_default());
            // The row of its polls says that a module was watched, even if nobody came.
            if counts.is_zero() && transport == Transport::Push {
                continue;
            }
            let row = UsageRow {
                hour,
                stage: module.map_or(Stage::Proxy, &stage),
                module: name,
                transport,
                from,
                to,
                counts,
            };
            self.put(row);
        }
        self.through = now;
        self.bound();
    }

    fn put(&mut self, row: UsageRow) {
        let key = (row.hour, row.module.clone(), row.transport.as_str());
        match self.rows.entry(key) {
            std::collections::btree_map::Entry::Vacant(place) => drop(place.insert(row)),
            std::collections::btree_map::Entry::Occupied(mut place) => place.get_mut().join(row),
        }
    }

    /// Adds the oldest hours up, if there are too many.
    fn bound(&mut self) {
        let mut hours: Vec<_> = self.rows.keys().map(|(hour, ..)| *hour).collect();
        hours.dedup();
        let Some(over) = hours.len().checked_sub(MOST_HOURS).filter(|over| *over > 0) else {
            return;
        };
        let kept = hours[over];
        let later = self.rows.split_off(&(kept, String::new(), ""));
        let old = std::mem::replace(&mut self.rows, later);
        for row in old.into_values() {
            // It was counted in another hour: that it was adds nothing to how long this one was watched.
            self.put(UsageRow {
                hour: kept,
                from: kept,
                to: kept,
                ..row
            });
        }
    }

    /// Takes the rows out, in the order of their hours.
    pub fn take(&mut self) -> Vec<UsageRow> {
        std::mem::take(&mut self.rows).into_values().collect()
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
