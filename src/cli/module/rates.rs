//! How often things happen to a module, from one look to the next.
//!
//! Invariants: each series is bounded; between two looks that do not belong together (another epoch, a gateway that was away) there is a
//! gap and no made-up rate.

use std::{collections::VecDeque, time::Duration};

use super::view::ModuleView;

/// Samples that are kept of each series: two minutes of looks, more than most terminals are wide.
const KEPT: usize = 240;

/// Series that are kept: what a gateway says of itself, and one for each target.
const SERIES: usize = 32;

/// One figure over time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    name: String,
    samples: VecDeque<Option<f64>>,
}

impl Series {
    /// What it counts.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// From the oldest to the newest; `None` where nothing is known.
    pub(super) fn samples(&self) -> impl DoubleEndedIterator<Item = Option<f64>> {
        self.samples.iter().copied()
    }

    /// The newest.
    pub(super) fn latest(&self) -> Option<f64> {
        self.samples.back().copied().flatten()
    }

    fn push(&mut self, sample: Option<f64>) {
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }
}

/// All figures of a module over time.
#[derive(Debug, Default)]
pub(super) struct History {
    series: Vec<Series>,
    last: Option<(Duration, ModuleView)>,
}

impl History {
    /// Takes what a look at `at` has shown. Times are of one clock that never goes back.
    pub(super) fn saw(&mut self, at: Duration, m: &ModuleView) {
        let mut rates = Vec::new();
        if let Some((before_at, before)) = &self.last {
            let seconds = at.saturating_sub(*before_at).as_secs_f64();
            rates.extend(counted(before, m, seconds));
        }
        rates.extend(now(m));
        self.take(rates);
        self.last = Some((at, m.clone()));
    }

    /// Takes that a look has shown nothing.
    pub(super) fn saw_nothing(&mut self) {
        self.take(Vec::new());
        self.last = None;
    }

    /// The series.
    pub(super) fn series(&self) -> &[Series] {
        &self.series
    }

    fn take(&mut self, rates: Vec<(String, f64)>) {
        for series in &mut self.series {
            let sample = rates.iter().find(|(name, _)| *name == series.name);
            series.push(sample.map(|(_, rate)| *rate));
        }
        for (name, rate) in rates {
            let is_known = self.series.iter().any(|series| series.name == name);
            if !is_known && self.series.len() < SERIES {
                let samples = VecDeque::from([Some(rate)]);
                self.series.push(Series { name, samples });
            }
        }
    }
}

/// What has been counted between two looks.
fn counted(before: &ModuleView, after: &ModuleView, seconds: f64) -> Vec<(String, f64)> {
    let per_second = |from: u64, to: u64| {
        let more = u32::try_from(to.checked_sub(from)?).ok()?;
        (seconds > 0.0).then(|| f64::from(more) / seconds)
    };
    if before.epoch != after.epoch {
        return Vec::new();
    }
    let changes = per_second(before.head, after.head);
    let changes = changes.map(|rate| ("changes/s".to_owned(), rate));
    let delivered = after.targets.iter().filter_map(|target| {
        let is_same = |other: &&super::view::Target| {
            other.name == target.name && other.generation == target.generation
        };
        let from = before.targets.iter().find(is_same)?;
        let rate = per_second(from.position, target.position)?;
        Some((format!("to {}/s", target.name), rate))
    });
    changes.into_iter().chain(delivered).collect()
}

/// What the gateway says of itself.
pub(super) fn now(m: &ModuleView) -> Vec<(String, f64)> {
    let Some(rates) = &m.rates else {
        return Vec::new();
    };
    let all = [
        ("polls/s", rates.polls),
        ("idle polls/s", rates.idle_polls),
        ("SQL/s", rates.sql),
        ("pushed/s", rates.pushed),
        ("bytes/s", rates.bytes),
    ];
    let known = |(name, rate): (&str, Option<f64>)| Some((name.to_owned(), rate?));
    all.into_iter().filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(head: u64, epoch: u32) -> ModuleView {
        ModuleView {
            epoch,
            head,
            ..ModuleView::default()
        }
    }

    fn samples(history: &History) -> Vec<Option<f64>> {
        let changes = history.series().first();
        changes
            .map(|series| series.samples().collect())
            .unwrap_or_default()
    }

    #[test]
    fn a_rate_is_what_was_counted_in_the_time_between() {
        let mut history = History::default();
        let looks = [(0, 10, 1), (1_000, 15, 1), (3_000, 25, 1)];
        for (ms, head, epoch) in looks {
            history.saw(Duration::from_millis(ms), &at(head, epoch));
        }
        assert_eq!(samples(&history), [Some(5.0), Some(5.0)]);
    }

    #[test]
    fn there_is_a_gap_where_the_gateway_was_away_or_the_log_began_anew() {
        let mut history = History::default();
        let second = Duration::from_secs;
        history.saw(second(0), &at(10, 1));
        history.saw(second(1), &at(11, 1));
        history.saw_nothing();
        history.saw(second(3), &at(90, 1));
        history.saw(second(4), &at(92, 1));
        history.saw(second(5), &at(1_000_000, 2));
        let expected = [Some(1.0), None, None, Some(2.0), None];
        assert_eq!(samples(&history), expected);
    }

    #[test]
    fn it_is_bounded() {
        let mut history = History::default();
        for n in 0..1_000 {
            history.saw(Duration::from_secs(n), &at(n, 1));
        }
        assert_eq!(samples(&history).len(), KEPT);
    }
}
