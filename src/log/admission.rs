//! Admission of reads, by class.
//!
//! Invariants: reads of the database never take a place from reads of the tail; no module takes
//! more places of a class than its share; what waits is bounded in number and time; a read of the
//! tail that finds a place takes no lock and no memory.
//!
//! A read of the tail never waits once it is inside, so no more of them go on at once than the runtime
//! has threads. Where a module's share is as large as that, the gate is left out: its counters would be
//! written by every core for each poll.

use std::{sync::Arc, time::Duration};

use super::gate::{Gate, Pass};
use crate::{config, domain::ModuleName};

/// What a read costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Memory only.
    Tail,
    /// The database.
    Database,
}

impl Class {
    /// The value of the label `class`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tail => "tail",
            Self::Database => "database",
        }
    }
}

/// No place became free in time: come back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many reads at once")]
pub struct Busy {
    /// What `Retry-After` says.
    pub retry_after_s: u32,
}

impl Busy {
    /// The shortest time after which one who was refused comes back.
    const FIRST_S: u32 = 6;
    /// Over so many seconds those who were refused together spread.
    const SPREAD_S: f64 = 5.0;

    /// 6 to 10 seconds. `chance` is between 0 and 1.
    fn at_random(chance: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to 4"
        )]
        let later = (chance.clamp(0.0, 1.0) * Self::SPREAD_S).min(4.0) as u32;
        Self {
            retry_after_s: Self::FIRST_S + later,
        }
    }
}

/// The bounds on concurrent reads.
#[derive(Debug)]
pub struct Admission {
    /// `None` if the threads are bound enough.
    tail: Option<Arc<Gate>>,
    database: Arc<Gate>,
    patience: Duration,
    /// Between 0 and 1.
    chance: fn() -> f64,
}

/// A read that was admitted; dropped, its place is free.
#[derive(Debug)]
#[must_use = "the place is free once this is dropped"]
pub struct Permit {
    _pass: Option<Pass>,
}

impl Admission {
    /// Everything free. `connections` are those of the database, `threads` those that answer; `chance` draws
    /// a number from 0 to 1. To be called after the metrics recorder is installed.
    pub fn new(
        bounds: &config::admission::Admission,
        connections: u32,
        threads: usize,
        modules: &[ModuleName],
        chance: fn() -> f64,
    ) -> Self {
        let gate = |class, places| Gate::new(class, places, bounds.queue_per_module, modules);
        let tail = bounds.tail_places();
        let is_tail_bounded = usize::try_from(tail.per_module).is_ok_and(|most| most < threads);
        Self {
            tail: is_tail_bounded.then(|| gate(Class::Tail, tail)),
            database: gate(Class::Database, bounds.database_places(connections)),
            patience: Duration::from_millis(bounds.wait_ms),
            chance,
        }
    }

    /// Waits for a place, not longer than configured. A module that is not followed is let through: it
    /// finds nothing to read.
    pub async fn enter(&self, class: Class, module: &ModuleName) -> Result<Permit, Busy> {
        let gate = self.gate(class);
        let Some((gate, lane)) = gate.and_then(|gate| Some((gate, gate.lane(module)?))) else {
            return Ok(Permit { _pass: None });
        };
        let pass = match gate.try_pass(lane) {
            Some(pass) => Some(pass),
            None => Box::pin(gate.wait(lane, self.patience)).await,
        };
        match pass {
            Some(pass) => Ok(Permit { _pass: Some(pass) }),
            None => Err(self.refuse(class, module)),
        }
    }

    /// Counts a read that found no place, and says when to come back.
    pub fn refuse(&self, class: Class, module: &ModuleName) -> Busy {
        if let Some(gate) = self.gate(class)
            && let Some(lane) = gate.lane(module)
        {
            gate.count_refused(lane);
        }
        Busy::at_random((self.chance)())
    }

    /// How long a read waits for a place.
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// Whether reads of a module wait for a place, or were refused one: counts up with each.
    pub fn strain(&self, module: &ModuleName) -> u64 {
        let of = |gate: &Arc<Gate>| gate.lane(module).map_or(0, |lane| gate.strain(lane));
        let tail = self.tail.as_ref().map_or(0, of);
        tail.wrapping_add(of(&self.database))
    }

    const fn gate(&self, class: Class) -> Option<&Arc<Gate>> {
        match class {
            Class::Tail => self.tail.as_ref(),
            Class::Database => Some(&self.database),
        }
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
