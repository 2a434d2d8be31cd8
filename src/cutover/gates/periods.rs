//! What a verifier finds, cut into periods.
//!
//! Invariants: what is counted is counted in one period; a period that is written again says at least what it said before.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{Report, Verified};
use crate::{
    domain::Micros,
    store::{Findings, Lease, VerifierPeriod},
};

/// The present period of each module and target.
#[derive(Debug)]
pub(super) struct Periods {
    length: Duration,
    /// A look that comes later than this after the one before was not listening in between.
    patience: Duration,
    of: HashMap<Key, Present>,
}

/// Target and module.
type Key = (String, String);

#[derive(Debug)]
struct Present {
    lease: Lease,
    began_at: Micros,
    /// What had been counted when it began.
    base: Findings,
    /// What was counted last.
    counted: Findings,
    listened: Duration,
    looked_at: Instant,
}

impl Periods {
    pub(super) fn new(length: Duration, patience: Duration) -> Self {
        Self {
            length,
            patience,
            of: HashMap::new(),
        }
    }

    /// Takes down what is reported. What was counted before the first report of a lease belongs to the lease before it.
    pub(super) fn look(&mut self, reports: &[Report], now: Micros, at: Instant) {
        for report in reports {
            let Some(verified) = &report.verified else {
                continue;
            };
            let began_at = self.beginning(now);
            let fresh = || Present {
                lease: report.lease.clone(),
                began_at,
                base: Findings::default(),
                counted: Findings::default(),
                listened: Duration::ZERO,
                looked_at: at,
            };
            let present = self.of.entry(key(report)).or_insert_with(fresh);
            if present.lease != report.lease {
                *present = Present {
                    base: present.counted,
                    counted: present.counted,
                    ..fresh()
                };
            }
            present.look(verified, at, self.patience);
        }
    }

    /// The periods in which anything was seen, up to now, each with what was found in it so far.
    pub(super) fn so_far(&self, reports: &[Report], now: Micros) -> Vec<(Lease, VerifierPeriod)> {
        let row = |report: &Report| {
            let present = self.of.get(&key(report))?;
            let found = present.counted.since(&present.base);
            let seen = !present.listened.is_zero() || found != Findings::default();
            (seen && present.lease == report.lease).then(|| {
                let period = VerifierPeriod {
                    target: report.fact.target.clone(),
                    module: report.fact.module.clone(),
                    began_at: present.began_at,
                    ended_at: now.max(present.began_at),
                    listened: present.listened,
                    found,
                };
                (present.lease.clone(), period)
            })
        };
        reports.iter().filter_map(row).collect()
    }

    /// Begins new periods where the written ones are over.
    pub(super) fn turn(&mut self, now: Micros) {
        let began_at = self.beginning(now);
        for present in self.of.values_mut() {
            if present.began_at != began_at {
                present.began_at = began_at;
                present.base = present.counted;
                present.listened = Duration::ZERO;
            }
        }
    }

    fn beginning(&self, now: Micros) -> Micros {
        let length = i64::try_from(self.length.as_micros()).unwrap_or(i64::MAX);
        Micros::new(now.get() - now.get().rem_euclid(length.max(1)))
    }
}

impl Present {
    fn look(&mut self, verified: &Verified, at: Instant, patience: Duration) {
        let passed = at.saturating_duration_since(self.looked_at);
        if verified.listening && passed <= patience {
            self.listened += passed;
        }
        self.looked_at = at;
        self.counted = verified.found;
    }
}

fn key(report: &Report) -> Key {
    let fact = &report.fact;
    (fact.target.clone(), fact.module.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MirrorFact;

    const SECOND: Duration = Duration::from_secs(1);

    fn report(token: i64, ok: u64) -> Report {
        let module: crate::domain::ModuleName = "orders".parse().unwrap();
        Report {
            lease: Lease {
                module: module.clone(),
                token,
            },
            fact: MirrorFact {
                target: "local".to_owned(),
                module,
                connected: true,
                trouble: None,
                behind: 0,
                lag: Some(Duration::ZERO),
                halted: None,
            },
            verified: Some(Verified {
                listening: true,
                found: Findings {
                    ok,
                    ..Findings::default()
                },
            }),
        }
    }

    /// Began at, listened in seconds, ok.
    fn told(periods: &Periods, report: &Report, now: i64) -> Vec<(i64, u64, u64)> {
        let rows = periods.so_far(std::slice::from_ref(report), micros(now));
        let told = |(_, row): (Lease, VerifierPeriod)| {
            (row.began_at.as_secs(), row.listened.as_secs(), row.found.ok)
        };
        rows.into_iter().map(told).collect()
    }

    fn micros(secs: i64) -> Micros {
        Micros::new(secs * 1_000_000)
    }

    #[test]
    fn what_is_counted_is_in_one_period() {
        let mut periods = Periods::new(SECOND * 10, SECOND * 2);
        let begin = Instant::now();
        let at = |secs| begin + Duration::from_secs(secs);
        let look = |periods: &mut Periods, report: &Report, secs: u64| {
            let now = micros(100 + i64::try_from(secs).unwrap());
            periods.look(std::slice::from_ref(report), now, at(secs));
        };
        look(&mut periods, &report(1, 3), 3);
        assert_eq!(told(&periods, &report(1, 3), 103), [(100, 0, 3)]);
        look(&mut periods, &report(1, 5), 5);
        let first = [(100, 2, 5)];
        assert_eq!(told(&periods, &report(1, 5), 105), first);
        periods.turn(micros(105));
        assert_eq!(told(&periods, &report(1, 5), 105), first, "it is not over");
        look(&mut periods, &report(1, 7), 30);
        let late = [(100, 2, 7)];
        assert_eq!(
            told(&periods, &report(1, 7), 130),
            late,
            "nobody looked meanwhile"
        );
        periods.turn(micros(130));
        assert_eq!(told(&periods, &report(1, 7), 130), []);
        look(&mut periods, &report(1, 8), 31);
        assert_eq!(told(&periods, &report(1, 8), 131), [(130, 1, 1)]);

        look(&mut periods, &report(2, 9), 32);
        assert_eq!(
            told(&periods, &report(2, 9), 132),
            [(130, 0, 1)],
            "another lease"
        );
        assert_eq!(
            told(&periods, &report(1, 9), 132),
            [],
            "whose lease is lost"
        );
    }
}
