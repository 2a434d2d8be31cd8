//! Latencies that many tasks count.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

/// Width of one bucket.
const STEP: Duration = Duration::from_micros(10);
/// What took longer counts as that long.
const MOST: usize = 3_000_000;

/// Counts by steps of 10 µs, up to 30 s.
pub struct Histogram(Vec<AtomicU32>);

impl Histogram {
    pub fn new() -> Self {
        Self((0..=MOST).map(|_| AtomicU32::new(0)).collect())
    }

    pub fn count(&self, took: Duration) {
        let step = usize::try_from(took.as_micros() / STEP.as_micros()).unwrap_or(MOST);
        self.0[step.min(MOST)].fetch_add(1, Relaxed);
    }

    /// How many were counted.
    pub fn len(&self) -> u64 {
        self.0
            .iter()
            .map(|count| u64::from(count.load(Relaxed)))
            .sum()
    }

    /// So many milliseconds did this share of them take at most.
    pub fn millis_at(&self, per_mille: u64) -> f64 {
        let goal = (self.len() * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        let step = self.0.iter().zip(1..).find_map(|(count, step)| {
            seen += u64::from(count.load(Relaxed));
            (seen >= goal).then_some(step)
        });
        (STEP * step.unwrap_or(0)).as_secs_f64() * 1000.0
    }
}
