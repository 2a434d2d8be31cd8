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

/// The latch, and whether something that the process needs is missing meanwhile.
#[derive(Debug, Default)]
pub struct Readiness {
    phase: AtomicU8,
    degraded: AtomicBool,
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

    /// Records whether the database is out of reach.
    pub fn set_degraded(&self, degraded: bool) {
        self.degraded.store(degraded, Ordering::Release);
    }

    /// Whether the database was out of reach when it was last asked.
    pub fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::Acquire)
    }
}
