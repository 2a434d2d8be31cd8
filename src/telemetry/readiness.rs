//! Whether this replica may get traffic. A latch: starting, ready, stopping, never back.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Where the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The tail is not filled yet.
    Starting,
    /// Traffic is welcome.
    Ready,
    /// The process is going down.
    Stopping,
}

/// What the process needs of its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The log can be read.
    Reading,
    /// Changes can be numbered.
    Writing,
    /// Changes that come over HTTP can be stored.
    Storing,
}

/// The latch, and whether something that the process needs is missing meanwhile.
#[derive(Debug, Default)]
pub struct Readiness {
    phase: AtomicU8,
    cannot_read: AtomicBool,
    cannot_write: AtomicBool,
    cannot_store: AtomicBool,
}

const READY: u8 = 1;
const STOPPING: u8 = 2;

impl Readiness {
    /// The phase.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            READY => Phase::Ready,
            STOPPING => Phase::Stopping,
            _ => Phase::Starting,
        }
    }

    /// The tail is filled. Without effect once the process is stopping.
    pub fn become_ready(&self) {
        self.phase.fetch_max(READY, Ordering::AcqRel);
    }

    /// The process is going down.
    pub fn become_stopping(&self) {
        self.phase.fetch_max(STOPPING, Ordering::AcqRel);
    }

    /// Records whether the database withholds what is needed.
    pub fn set_degraded(&self, need: Need, degraded: bool) {
        let flag = match need {
            Need::Reading => &self.cannot_read,
            Need::Writing => &self.cannot_write,
            Need::Storing => &self.cannot_store,
        };
        flag.store(degraded, Ordering::Release);
    }

    /// Whether the database withheld anything when it was last asked.
    pub fn is_degraded(&self) -> bool {
        [&self.cannot_read, &self.cannot_write, &self.cannot_store]
            .into_iter()
            .any(|missing| missing.load(Ordering::Acquire))
    }
}
