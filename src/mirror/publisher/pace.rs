//! The rate at which a broker is fed: a token bucket.
//!
//! Invariant: in any span of time no more is taken than the rate allows for it, and one burst.

use std::time::{Duration, Instant};

/// A bucket that fills at a steady rate.
#[derive(Debug)]
pub struct Pace {
    per_s: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
    /// Somebody found it empty since something was taken last.
    wanted: bool,
}

/// What may go at once: what a tenth of a second brings.
const BURST_S: f64 = 0.1;

impl Pace {
    /// A full bucket for so many publishes a second.
    pub fn new(per_s: u32, now: Instant) -> Self {
        let per_s = f64::from(per_s.max(1));
        let burst = (per_s * BURST_S).max(1.0);
        Self {
            per_s,
            burst,
            tokens: burst,
            at: now,
            wanted: false,
        }
    }

    /// How many may go now.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the burst, whole ones count"
    )]
    pub fn room(&mut self, now: Instant) -> usize {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_s).min(self.burst);
        self.at = self.at.max(now);
        self.wanted = self.tokens < 1.0;
        self.tokens as usize
    }

    /// One has gone.
    pub fn take(&mut self) {
        self.tokens -= 1.0;
    }

    /// When there is enough again for whoever found none.
    pub fn wakes_at(&self) -> Option<Instant> {
        let enough = (self.burst / 2.0).max(1.0);
        let lacking = (enough - self.tokens).max(0.0) / self.per_s;
        // A hair later, so that what has come by then is a whole one.
        let pause = Duration::from_secs_f64(lacking) + Duration::from_millis(1);
        self.wanted.then(|| self.at + pause)
    }

    /// Whoever found none is awake. Who still cannot send shall not be woken again and again.
    pub fn wake(&mut self) {
        self.wanted = false;
    }

    /// The span in which so many publishes take half of the rate.
    pub fn half_rate_span(&self, publishes: usize) -> Duration {
        let publishes = f64::from(u32::try_from(publishes).unwrap_or(u32::MAX));
        Duration::from_secs_f64(2.0 * publishes / self.per_s)
    }
}

/// Comes when a bucket that was found empty has something again; never for others. Cancel-safe.
pub async fn refilled(pace: Option<&Pace>) {
    match pace.and_then(Pace::wakes_at) {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_wakes_when_there_is_something() {
        let start = Instant::now();
        let mut pace = Pace::new(2, start);
        assert_eq!(pace.room(start), 1);
        assert_eq!(pace.wakes_at(), None);
        pace.take();
        assert_eq!(pace.room(start), 0);
        let wakes = pace.wakes_at().unwrap();
        assert!(wakes - start < Duration::from_millis(510));
        pace.wake();
        assert_eq!(pace.wakes_at(), None);
        assert_eq!(pace.room(wakes), 1);
    }

    proptest! {
        #[test]
        fn no_span_sees_more_than_its_share_and_one_burst(
            per_s in 1_u32..2_000,
            pauses in prop::collection::vec(0_u64..300, 1..80),
        ) {
            let start = Instant::now();
            let mut pace = Pace::new(per_s, start);
            let burst = (f64::from(per_s) * BURST_S).max(1.0);
            let mut taken = Vec::new();
            let mut now = start;
            for ms in pauses {
                now += Duration::from_millis(ms);
                for _ in 0..pace.room(now) {
                    pace.take();
                    taken.push(now);
                }
            }
            for (n, from) in taken.iter().enumerate() {
                for (m, to) in taken.iter().enumerate().skip(n) {
                    let share = f64::from(per_s) * (*to - *from).as_secs_f64();
                    let count = f64::from(u32::try_from(m - n + 1).unwrap());
                    prop_assert!(count <= share + burst + 1e-6, "{count} in {:?}", *to - *from);
                }
            }
        }
    }
}
