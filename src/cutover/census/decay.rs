//! How much longer a client waits between its polls while its push is healthy.
//!
//! Invariants: never less than it would, and never more than the configured bound; in the first moment of health exactly what it would.

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
        let doublings = healthy_for.as_secs_f64() / self.doubles_every.as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "intervals are below 2^52 ms, and what is too large ends at the most"
        )]
        let grown = (interval_ms as f64 * doublings.min(64.0).exp2()) as u64;
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
        assert_eq!(after(60), 10_000);
        assert_eq!(after(120), 20_000);
        assert_eq!(after(3_600), 60_000);
        assert_eq!(after(u64::MAX / 2), 60_000);
        let off = decay(0).interval_ms(5_000, Duration::from_hours(1));
        assert_eq!(off, 5_000);
        let longer_already = decay(60_000).interval_ms(90_000, Duration::from_hours(1));
        assert_eq!(longer_already, 90_000);
    }
}
