//! The task that writes down how the mirror of this replica's modules stands.
//!
//! Invariants: it writes under the lease of each module, at most once a tick and at least once in `gates.facts_every_ms`, all modules in
//! one go; times are the database's.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::periods::Periods;
use crate::{
    config::gates::Gates,
    domain::Micros,
    store::{self, Findings, Lease, MirrorFact, Store},
};

/// How a target stands for a module of this replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Under which it is mirrored.
    pub lease: Lease,
    /// How it stands.
    pub fact: MirrorFact,
    /// What its verifier has found since the start of the process; absent if none looks.
    pub verified: Option<Verified>,
}

/// What a verifier says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Whether its subscription stands.
    pub listening: bool,
    /// What it has counted.
    pub found: Findings,
}

/// Who knows how this replica's modules stand at this time of the database, as far as that is known.
type Source = dyn Fn(Option<Micros>) -> Vec<Report> + Send + Sync;

/// The task.
pub struct FactsReporter {
    store: Arc<dyn Store>,
    settings: Gates,
    source: Box<Source>,
    periods: Periods,
    /// The database's time, and when that was.
    clock: Option<(Micros, Instant)>,
    written: Option<Written>,
    forgotten_at: Option<Instant>,
    failing: bool,
}

/// What was written last.
#[derive(Debug)]
struct Written {
    at: Instant,
    news: News,
}

/// What is worth a write at once: by target and module, whether it is connected, halted, listened to, compared, in trouble, and how often it was wrong.
type News = BTreeMap<(String, String), ([bool; 5], u64)>;

/// How often the mirror is looked at: the longest time after which news are written.
const TICK: Duration = Duration::from_millis(500);

/// How often what is too old is looked for, and how much of it goes at a time.
const FORGET_EVERY: Duration = Duration::from_mins(1);
const FORGET_ROWS: u32 = 2_000;

impl FactsReporter {
    /// A reporter of what `source` says of the modules whose leases this replica holds.
    pub fn new(
        store: Arc<dyn Store>,
        settings: Gates,
        source: impl Fn(Option<Micros>) -> Vec<Report> + Send + Sync + 'static,
    ) -> Self {
        Self {
            store,
            periods: Periods::new(settings.window(), TICK * 4),
            settings,
            source: Box::new(source),
            clock: None,
            written: None,
            forgotten_at: None,
            failing: false,
        }
    }

    /// Reports until told to stop, and once more then.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.activate(false).await,
            }
        }
        self.activate(true).await;
    }

    async fn activate(&mut self, last: bool) {
        let at = Instant::now();
        let now = self.now(at);
        let reports = (self.source)(now);
        if let Some(now) = now {
            self.periods.look(&reports, now, at);
        }
        if reports.is_empty() {
            self.written = None;
        } else if last || self.is_due(&reports, at) {
            let outcome = self.write(&reports, at).await;
            self.tell(&outcome);
        }
        if !last
            && self
                .forgotten_at
                .is_none_or(|then| at - then >= FORGET_EVERY)
        {
            self.forgotten_at = Some(at);
            self.forget(at).await;
        }
    }

    /// The database's time.
    fn now(&self, at: Instant) -> Option<Micros> {
        let (now, then) = self.clock?;
        Some(now.plus(at.saturating_duration_since(then)))
    }

    fn is_due(&self, reports: &[Report], at: Instant) -> bool {
        let Some(written) = &self.written else {
            return true;
        };
        at.saturating_duration_since(written.at) >= self.settings.facts_every()
            || written.news != news(reports)
    }

    async fn write(&mut self, reports: &[Report], at: Instant) -> store::Result<()> {
        let facts: Vec<_> = reports
            .iter()
            .map(|report| (report.lease.clone(), report.fact.clone()))
            .collect();
        let periods = self.now(at).map(|now| self.periods.so_far(reports, now));
        let whole = periods.is_some();
        let periods = periods.unwrap_or_default();
        let now = self.store.write_facts(&facts, &periods).await?;
        self.clock = Some((now, Instant::now()));
        self.periods.turn(now);
        // The first write only asks for the time: what verifiers found follows with the next.
        self.written = whole.then(|| Written {
            at,
            news: news(reports),
        });
        Ok(())
    }

    /// Whoever finds something too old deletes it, of which module it may be.
    async fn forget(&mut self, at: Instant) {
        let Some(now) = self.now(at) else {
            return;
        };
        let kept = self.settings.verified_within.get() + self.settings.window();
        let outcome = self.store.forget_facts(now.minus(kept), FORGET_ROWS).await;
        self.tell(&outcome.map(drop));
    }

    fn tell(&mut self, outcome: &store::Result<()>) {
        match outcome {
            Err(error) if !self.failing => {
                tracing::warn!(%error, "how the mirror stands cannot be written down: gates will say that there is not enough data");
            }
            Ok(()) if self.failing => tracing::info!("how the mirror stands is written down again"),
            _ => {}
        }
        self.failing = outcome.is_err();
    }
}

fn news(reports: &[Report]) -> News {
    let of = |report: &Report| {
        let fact = &report.fact;
        let listening = report.verified.is_some_and(|verified| verified.listening);
        let found = report.verified.map(|verified| verified.found);
        let found = found.unwrap_or_default();
        let key = (fact.target.clone(), fact.module.as_str().to_owned());
        let halted = fact.halted.is_some();
        let compared = found.compared() > 0;
        let troubled = fact.trouble.is_some();
        let states = [fact.connected, halted, listening, compared, troubled];
        (key, (states, found.problems()))
    };
    reports.iter().map(of).collect()
}
