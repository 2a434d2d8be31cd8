//! What is used: polls, reads and messages of each module, counted in memory and written down by the hour.
//!
//! Invariants: what an idle poll counts costs no lock and no look-up; the counters only grow, so whoever wants to know what came since
//! subtracts what there was.

mod book;
mod counts;
mod meter;
mod rates;
pub mod statements;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

pub use book::{Book, UsageRow, hour_of};
pub use counts::{Counts, UsageSum};
pub use meter::{Meter, Pushed, Requests, Tally};
pub use rates::Rates;

use self::rates::Window;
use crate::domain::{ModuleName, Transport};

/// What stands for no module. No module can have this name.
pub const NO_MODULE: &str = "-";

/// The counters of this process.
#[derive(Debug)]
pub struct Usage {
    modules: BTreeMap<ModuleName, Arc<Meter>>,
    /// What belongs to no module.
    others: Arc<Meter>,
    /// What this process had counted of its statements before.
    statements_before: u64,
    window: Window,
}

impl Usage {
    /// Counters at zero.
    pub fn of(modules: &[ModuleName], now: Instant) -> Self {
        let named = |module: &ModuleName| (module.clone(), Arc::default());
        let usage = Self {
            modules: modules.iter().map(named).collect(),
            others: Arc::default(),
            statements_before: statements::of_process(),
            window: Window::default(),
        };
        usage.sample(now);
        usage
    }

    /// The counters of a module; of one that is not configured, those of no module.
    pub fn of_module(&self, module: &ModuleName) -> Arc<Meter> {
        let found = self.modules.get(module);
        Arc::clone(found.unwrap_or(&self.others))
    }

    /// The counters of what belongs to no module.
    pub fn of_others(&self) -> Arc<Meter> {
        Arc::clone(&self.others)
    }

    /// What has been counted so far, by module and transport; the modules by name, and what belongs to none at the end. There
    /// `statements` are those of the whole process.
    fn counted(&self) -> impl Iterator<Item = (Option<&ModuleName>, Transport, Counts)> {
        let of = |module, meter: &Meter| {
            let both = [
                (Transport::Poll, meter.polls.counts()),
                (Transport::Push, meter.push.counts()),
            ];
            both.map(|(transport, counts)| (module, transport, counts))
        };
        let mut others = of(None, &*self.others);
        others[0].2.statements = statements::of_process().wrapping_sub(self.statements_before);
        others[1].2.statements = 0;
        let modules = self.modules.iter();
        let modules = modules.flat_map(move |(module, meter)| of(Some(module), &**meter));
        modules.chain(others)
    }

    /// Remembers what has been counted so far, for the rates. To be called every few seconds.
    pub fn sample(&self, now: Instant) {
        let of = |(module, meter): (&ModuleName, &Arc<Meter>)| {
            (module.clone(), [meter.polls.counts(), meter.push.counts()])
        };
        self.window.put(now, self.modules.iter().map(of).collect());
    }

    /// How fast a module is used, over the last minute, or since the start if that was later; `None` if there is no such module or
    /// nothing to compare with yet.
    pub fn rates(&self, module: &ModuleName, now: Instant) -> Option<Rates> {
        let meter = self.modules.get(module)?;
        let (span, before) = self.window.oldest(module, now)?;
        let now = [meter.polls.counts(), meter.push.counts()];
        Rates::of(span, now, before)
    }
}

impl Default for Usage {
    fn default() -> Self {
        Self::of(&[], Instant::now())
    }
}

/// How often [`Usage::sample`] is to be called.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(5);
