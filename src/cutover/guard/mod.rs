//! The guard: when the mirror of a module fails its clients, they are told to poll until it has been healthy for a while.
//!
//! One guard watches one module on one target. Invariants: it starts untripped and trips on evidence only; all its times are
//! a monotonic clock's, so that no jump of the system's clock trips it or sends anybody back; of all clients no more
//! than a configured share changes transport in any second, whatever the evidence does; its row is written under the lease of its
//! module only, and what stands there is what every replica tells.
//!
//! `moves` is the state machine, `evidence` what it goes by, `spot` in which order clients move; `guards` is what a replica knows
//! and tells, of each guard a `post`, `watch` the task that reads, judges and writes, `judging` what the holder of a lease does, and `vacancy` what a replica
//! does where nobody holds it.

mod evidence;
mod guards;
#[cfg(test)]
mod guards_tests;
mod judging;
mod moves;
mod post;
mod spot;
#[cfg(test)]
mod tests;
mod vacancy;
mod watch;

pub use evidence::{Bounds, Evidence};
pub use guards::Guards;
pub use moves::{Guard, Pace, State};
pub use post::Post;
pub use spot::Spot;
pub use watch::{GuardWatch, Observer};

pub use crate::domain::GuardCause as Cause;
use crate::{config, domain::GuardPhase};

/// By what guards go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What is bad enough.
    pub bounds: Bounds,
    /// How fast clients move.
    pub pace: Pace,
    /// How long nobody may hold a module's lease.
    pub leaderless_after: std::time::Duration,
}

impl From<&config::guard::Guard> for Terms {
    fn from(config: &config::guard::Guard) -> Self {
        Self {
            bounds: Bounds {
                away: config.away.get(),
                lag: config.lag.get(),
                missing: config.missing,
            },
            pace: Pace {
                fall_back_over: config.fall_back_over.get(),
                heal_after: config.heal_after.get(),
                return_over: config.return_over.get(),
            },
            leaderless_after: config.leaderless_after.get(),
        }
    }
}

impl State {
    /// Its word.
    pub const fn phase(&self) -> GuardPhase {
        match self {
            Self::Watching => GuardPhase::Watching,
            Self::Tripped { .. } => GuardPhase::Tripped,
            Self::Returning { .. } => GuardPhase::Returning,
        }
    }
}
