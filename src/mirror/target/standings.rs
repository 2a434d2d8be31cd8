//! What operators want of the targets, as this replica last saw it.
//!
//! Invariant: until the database has been asked once, nothing is sent: a target that was paused stays paused over a
//! restart. A record never replaces one of a higher version, so a slow read cannot undo what an act on this replica
//! has put in force.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::watch;

use crate::{domain::Standing, store::TargetRecord};

type Records = HashMap<String, Arc<TargetRecord>>;

/// The records of all targets.
#[derive(Debug)]
pub struct Standings {
    /// `None` before they were read.
    records: watch::Sender<Option<Records>>,
}

impl Default for Standings {
    fn default() -> Self {
        Self {
            records: watch::Sender::new(None),
        }
    }
}

impl Standings {
    /// Takes over all records as the database has them, or those of an act.
    pub fn adopt(&self, records: &[TargetRecord]) {
        self.records.send_if_modified(|known| {
            let mut changed = known.is_none();
            let known = known.get_or_insert_default();
            for record in records {
                let held = known.get(&record.target).map_or(0, |held| held.version);
                if record.version > held {
                    changed = true;
                    known.insert(record.target.clone(), Arc::new(record.clone()));
                }
            }
            changed
        });
    }

    /// A target's standing and the version of its record; `None` while nobody knows.
    pub fn of(&self, target: &str) -> Option<(Standing, i64)> {
        let records = self.records.borrow();
        let record = records.as_ref()?.get(target);
        Some(record.map_or((Standing::Active, 0), |record| {
            (record.standing, record.version)
        }))
    }

    /// Grows with every act on any target, configured here or not; 0 while nobody knows.
    pub fn version(&self) -> i64 {
        let records = self.records.borrow();
        let records = records.iter().flat_map(|records| records.values());
        records.map(|record| record.version).sum()
    }

    /// Whether anything is sent to a target, as far as is known.
    pub fn is_fed(&self, target: &str) -> bool {
        self.of(target)
            .is_none_or(|(standing, _)| standing == Standing::Active)
    }

    /// Grows with each act, after it is in force. Answers that depend on the standings are kept as long as it stands still.
    pub fn generation(&self) -> u64 {
        let records = self.records.borrow();
        let versions = records.iter().flatten().map(|(_, record)| record.version);
        versions.sum::<i64>().unsigned_abs()
    }

    /// Changes with each act, and when they are known.
    pub fn changes(&self) -> StandingChanges {
        StandingChanges(self.records.subscribe())
    }
}

/// A wait for the next change of [`Standings`].
#[derive(Debug)]
pub struct StandingChanges(watch::Receiver<Option<Records>>);

impl StandingChanges {
    /// Returns after the next change; at once if one was missed. Never returns once the standings are gone.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(version: i64, standing: Standing) -> TargetRecord {
        TargetRecord {
            standing,
            version,
            ..TargetRecord::untouched("t")
        }
    }

    #[test]
    fn nothing_is_known_before_it_was_read_and_nothing_goes_back() {
        let standings = Standings::default();
        assert_eq!(standings.of("t"), None);
        standings.adopt(&[]);
        assert_eq!(standings.of("t"), Some((Standing::Active, 0)));
        standings.adopt(&[record(2, Standing::Paused)]);
        let seen = standings.generation();
        standings.adopt(&[record(1, Standing::Active)]);
        assert_eq!(standings.of("t"), Some((Standing::Paused, 2)));
        assert_eq!(standings.generation(), seen);
        standings.adopt(&[record(3, Standing::Active)]);
        assert!(standings.generation() > seen);
    }
}
