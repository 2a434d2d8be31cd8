//! Reads that wait for news of their channels.
//!
//! Invariants: who enlists before looking at the tail misses no change that comes after the look;
//! no more wait than configured; those who began together do not end together.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use metrics::Counter;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Tail, bells::Bell};
use crate::{
    domain::{Audience, ModuleName},
    telemetry::metric,
};

/// The largest part of its time by which a wait ends early.
const HASTE: f64 = 0.1;

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// There may be something new: look again.
    News,
    /// The time is up.
    TimeUp,
    /// The process is stopping: answer now.
    Stopping,
}

/// There are as many waiters as allowed: answer at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("as many reads wait as allowed")]
pub struct Crowded;

/// The place where reads wait.
#[derive(Debug)]
pub struct Waiting {
    tail: Arc<Tail>,
    stop: CancellationToken,
    most: usize,
    taken: AtomicUsize,
    /// Between 0 and 1.
    chance: fn() -> f64,
    crowded: Counter,
}

/// One read that waits. Dropped, it gives its place back.
#[derive(Debug)]
pub struct Waiter<'a> {
    bell: Bell<'a>,
    place: Place<'a>,
    /// What part of a limit it waits.
    patience: f64,
}

/// One of the places.
#[derive(Debug)]
struct Place<'a>(&'a Waiting);

impl Waiting {
    /// A place for `most` to wait at until `stop`. `chance` draws a number from 0 to 1. To be called
    /// after the metrics recorder is installed.
    pub fn new(tail: Arc<Tail>, stop: CancellationToken, most: usize, chance: fn() -> f64) -> Self {
        Self {
            tail,
            stop,
            most,
            taken: AtomicUsize::new(0),
            chance,
            crowded: metrics::counter!(metric::WAITS_CROWDED),
        }
    }

    /// Takes a place, for news of any of these channels. To be called before the tail is looked at.
    pub fn enlist(&self, channels: &[(&ModuleName, &[Audience])]) -> Result<Waiter<'_>, Crowded> {
        let place = self.take_place()?;
        Ok(Waiter {
            bell: self.tail.bells().hang(channels),
            place,
            patience: 1.0 - HASTE * (self.chance)().clamp(0.0, 1.0),
        })
    }

    fn take_place(&self) -> Result<Place<'_>, Crowded> {
        let one_more = |taken: usize| (taken < self.most).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        if taken.is_err() {
            self.crowded.increment(1);
            return Err(Crowded);
        }
        Ok(Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Waiter<'_> {
    /// Waits, at most `limit` and up to a tenth less, at random: thousands that began together must not
    /// come back together. May be called again after news that turned out to be none.
    pub async fn woken(&mut self, limit: Duration) -> Woken {
        let stop = &self.place.0.stop;
        tokio::select! {
            biased;
            () = stop.cancelled() => Woken::Stopping,
            news = timeout(limit.mul_f64(self.patience), self.bell.rung()) => match news {
                Ok(()) => Woken::News,
                Err(_elapsed) => Woken::TimeUp,
            },
        }
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
