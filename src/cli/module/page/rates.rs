//! How often things happen: now, and as a sparkline over the last while.

use crate::cli::{
    module::{
        rates::{Series, now},
        view::ModuleView,
        words,
    },
    screen::{Line, Tone, sparkline, width_of},
};

/// Narrower than this a sparkline says nothing.
const LEAST: usize = 8;

pub(super) fn lines(m: &ModuleView, series: &[Series], width: usize) -> Vec<Line> {
    if series.is_empty() {
        let now = now(m);
        let now = now
            .iter()
            .map(|(name, rate)| (name.as_str(), Some(*rate), None));
        return drawn(&now.collect::<Vec<_>>(), width);
    }
    let series = series
        .iter()
        .map(|one| (one.name(), one.latest(), Some(one)));
    drawn(&series.collect::<Vec<_>>(), width)
}

fn drawn(rates: &[(&str, Option<f64>, Option<&Series>)], width: usize) -> Vec<Line> {
    let widest = |widths: &mut dyn Iterator<Item = usize>| widths.max().unwrap_or(0);
    let names = widest(&mut rates.iter().map(|(name, ..)| width_of(name)));
    let figure = |rate: Option<f64>| rate.map_or_else(|| words::NOTHING.to_owned(), words::number);
    let figures = widest(&mut rates.iter().map(|(_, rate, _)| width_of(&figure(*rate))));
    let room = width.saturating_sub(names + 2 + figures + 2);
    let line = |(name, rate, series): &(&str, Option<f64>, Option<&Series>)| {
        let figure = figure(*rate);
        let padding = " ".repeat(figures - width_of(&figure));
        let line = Line::plain(*name)
            .padded(names + 2)
            .with(Tone::Plain, format!("{padding}{figure}"));
        match series {
            Some(series) if room >= LEAST => line
                .with(Tone::Plain, "  ")
                .with(Tone::Good, sparkline(series.samples(), room)),
            _ => line,
        }
    };
    rates.iter().map(line).collect()
}
