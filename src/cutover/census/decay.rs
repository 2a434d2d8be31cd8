//! How much longer a client waits between its polls while its push is healthy.
//!
//! Invariants: never less than it would, and never more than the configured bound; in the first moment of health exactly what it would. It grows
//! in steps, each twice the one before: a body that tells the interval is the same until the next step, so its tag still matches and the client
//! gets 304, and is another one as soon as the interval falls, which a client must not miss.

use std::time::Duration;

use crate::config::census::Decay as Settings;

/// The decay of polls.
#[derive(Debug, Clone)]
pub struct Decay {
    most_ms: u64,
    doubles_every: Duration,
}

impl Decay {
    /// As configured.
    pub const fn new(settings: &Settings) -> Self {
        Self {
            most_ms: settings.max_ms,
            doubles_every: settings.double_every.get(),
        }
    }

    /// The interval of a client whose push has been healthy for so long.
    pub fn interval_ms(&self, interval_ms: u64, healthy_for: Duration) -> u64 {
        if self.most_ms <= interval_ms || self.doubles_every.is_zero() {
            return interval_ms;
        }
        let doublings = healthy_for.as_nanos() / self.doubles_every.as_nanos();
        let factor = u32::try_from(doublings)
            .ok()
            .and_then(|doublings| 1_u64.checked_shl(doublings));
        let grown = interval_ms.saturating_mul(factor.unwrap_or(u64::MAX));
        grown.clamp(interval_ms, self.most_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::span::Span;

    #[test]
    fn the_interval_doubles_up_to_its_bound() {
        let decay = |max_ms| {
            Decay::new(&Settings {
                max_ms,
                double_every: Span::from_secs(60),
            })
        };
        let after = |seconds| decay(60_000).interval_ms(5_000, Duration::from_secs(seconds));
        assert_eq!(after(0), 5_000);
        assert_eq!(after(59), 5_000, "a body that tells it stays what it was");
        assert_eq!(after(60), 10_000);
        assert_eq!(after(119), 10_000);
        assert_eq!(after(120), 20_000);
        for long in [3_600, 63 * 60, 64 * 60, u64::MAX / 2] {
            assert_eq!(after(long), 60_000);
        }
        let off = decay(0).interval_ms(5_000, Duration::from_hours(1));
        assert_eq!(off, 5_000);
        let longer_already = decay(60_000).interval_ms(90_000, Duration::from_hours(1));
        assert_eq!(longer_already, 90_000);
    }
}
