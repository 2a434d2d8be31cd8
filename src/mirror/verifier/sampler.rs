//! How many of the channels are compared: all of them up to a rate, above it half, a quarter, an eighth …
//!
//! Invariant: the channels of a smaller share are among those of a larger one.

use std::time::{Duration, Instant};

/// How often the channels were halved: 0 = all are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Share(u32);

/// One channel of four billion: no rate needs less.
const MOST_HALVINGS: u32 = 32;

impl Share {
    /// Whether the channel with this hash is among them.
    pub(super) const fn holds(self, channel: u64) -> bool {
        channel.trailing_zeros() >= self.0
    }

    /// About how many of so many changes are compared.
    pub(super) const fn of(self, changes: u64) -> u64 {
        changes >> self.0
    }

    /// As a number from 0 to 1.
    pub(super) fn fraction(self) -> f64 {
        0.5_f64.powi(self.0.cast_signed())
    }
}

/// Counts the events of a target.
#[derive(Debug)]
pub(super) struct Sampler {
    rate: u64,
    seen: u64,
    since: Instant,
    share: Share,
}

/// Over which time the rate is measured.
const SPAN: Duration = Duration::from_secs(1);

impl Sampler {
    /// A sampler that lets about `rate` events a second be compared.
    pub(super) fn new(rate: u64, now: Instant) -> Self {
        Self {
            rate: rate.max(1),
            seen: 0,
            since: now,
            share: Share::default(),
        }
    }

    pub(super) const fn share(&self) -> Share {
        self.share
    }

    /// An event came.
    pub(super) const fn count(&mut self) {
        self.seen += 1;
    }

    /// Returns the share that counts from now on, if it is another one. It falls at once and rises by steps.
    pub(super) fn look(&mut self, now: Instant) -> Option<Share> {
        let span = now.duration_since(self.since);
        if span < SPAN {
            return None;
        }
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
        let measured = self.seen.saturating_mul(1_000) / millis;
        (self.seen, self.since) = (0, now);
        let fits = |share: &Share| share.of(measured) <= self.rate;
        let least = (0..MOST_HALVINGS).map(Share).find(fits);
        let wanted = least.unwrap_or(Share(MOST_HALVINGS));
        let next = wanted.max(Share(self.share.0.saturating_sub(1)));
        let before = std::mem::replace(&mut self.share, next);
        (next != before).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_falls_at_once_and_rises_by_steps() {
        let start = Instant::now();
        let mut sampler = Sampler::new(100, start);
        let mut look = |second: u32, events: u64| {
            (0..events).for_each(|_| sampler.count());
            sampler.look(start + SPAN * second).map(Share::fraction)
        };
        assert_eq!(look(1, 100), None);
        assert_eq!(look(2, 390), Some(0.25));
        assert_eq!(look(3, 0), Some(0.5));
        assert_eq!(look(4, 0), Some(1.0));
        assert_eq!(look(5, 0), None);
    }

    #[test]
    fn a_smaller_share_is_part_of_a_larger_one() {
        for channel in 0..1_000_u64 {
            assert!(Share(0).holds(channel));
            for halvings in 1..8 {
                assert!(!Share(halvings).holds(channel) || Share(halvings - 1).holds(channel));
            }
        }
        let held = (0..1_024_u64).filter(|channel| Share(3).holds(*channel));
        assert_eq!(held.count(), 128);
    }
}
