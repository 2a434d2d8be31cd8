//! How fast a module is used at present, on this replica.
//!
//! Invariant: what is remembered covers a minute and no more, whatever the load.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Counts, SAMPLE_EVERY};
use crate::domain::ModuleName;

/// Over how long a rate is taken.
const WINDOW: Duration = Duration::from_mins(1);

/// What was counted at some moment, over polls and over push.
type Sample = BTreeMap<ModuleName, [Counts; 2]>;

/// The counts of the last minute, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Window(Mutex<VecDeque<(Instant, Sample)>>);

impl Window {
    pub(super) fn put(&self, now: Instant, sample: Sample) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_too_old = |at: Instant| now.saturating_duration_since(at) > WINDOW;
        while samples.front().is_some_and(|(at, _)| is_too_old(*at)) {
            samples.pop_front();
        }
        samples.push_back((now, sample));
    }

    /// The oldest counts of a module that are not older than the window, and how old they are. Older ones are there if nobody has
    /// sampled for a while; they do as well, over a longer time.
    pub(super) fn oldest(
        &self,
        module: &ModuleName,
        now: Instant,
    ) -> Option<(Duration, [Counts; 2])> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |at: Instant| now.saturating_duration_since(at);
        let within = samples.iter().find(|(at, _)| age(*at) <= WINDOW);
        let (at, sample) = within.or_else(|| samples.back())?;
        Some((age(*at), *sample.get(module)?))
    }
}

/// How fast a module is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Legacy polls a second.
    pub polls_per_s: f64,
    /// Those that were told that there is nothing new.
    pub idle_polls_per_s: f64,
    /// SQL statements for polls and reads of this module.
    pub sql_per_s: f64,
    /// Changes handed to brokers.
    pub pushed_per_s: f64,
    /// Bytes of bodies and payloads.
    pub bytes_per_s: f64,
    /// Over how long, in seconds.
    pub window_s: f64,
}

impl Rates {
    /// `None` if there is no time between.
    pub(super) fn of(span: Duration, now: [Counts; 2], before: [Counts; 2]) -> Option<Self> {
        let window_s = span.as_secs_f64();
        if window_s < SAMPLE_EVERY.as_secs_f64() / 10.0 {
            return None;
        }
        let [polls, push] = [0, 1].map(|n| now[n].since(before[n]));
        #[expect(
            clippy::cast_precision_loss,
            reason = "what comes in a minute is far below 2^52"
        )]
        let per_s = |count: u64| count as f64 / window_s;
        Some(Self {
            polls_per_s: per_s(polls.requests),
            idle_polls_per_s: per_s(polls.idle),
            sql_per_s: per_s(polls.statements + push.statements),
            pushed_per_s: per_s(push.messages),
            bytes_per_s: per_s(polls.bytes + push.bytes + push.payloads),
            window_s,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::usage::Usage;

    #[test]
    fn rates_are_of_the_last_minute() {
        let module: ModuleName = "m".parse().unwrap();
        let begin = Instant::now();
        let usage = Usage::of(std::slice::from_ref(&module), begin);
        let meter = usage.of_module(&module);
        assert_eq!(usage.rates(&module, begin), None, "no time has passed");
        for second in 1..=300_u64 {
            // Two a second at first, ten a second in the last two minutes.
            for _ in 0..(if second <= 180 { 2 } else { 10 }) {
                meter.polls.idle.add(20);
            }
            meter.push.messages.add(100);
            let now = begin + Duration::from_secs(second);
            if second % 5 == 0 {
                usage.sample(now);
            }
            if second == 20 {
                let rates = usage.rates(&module, now).unwrap();
                assert!((rates.window_s - 20.0).abs() < 1e-9, "{rates:?}");
                assert!((rates.polls_per_s - 2.0).abs() < 1e-9, "{rates:?}");
            }
        }
        let rates = usage.rates(&module, begin + Duration::from_secs(300));
        let expected = Rates {
            polls_per_s: 10.0,
            idle_polls_per_s: 10.0,
            sql_per_s: 0.0,
            pushed_per_s: 1.0,
            bytes_per_s: 300.0,
            window_s: 60.0,
        };
        assert_eq!(rates, Some(expected));
        let other = "other".parse().unwrap();
        assert_eq!(usage.rates(&other, begin + WINDOW), None);
    }
}
