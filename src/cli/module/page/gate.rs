//! The gate of the next step: each check with its figures.

use crate::cli::{
    module::{
        view::{Check, Gate, ModuleView, Pollers},
        words::{self, NOTHING},
    },
    screen::{Column, Line, Table, Tone},
};

const COLUMNS: [Column<'static>; 7] = [
    Column::needed("CHECK"),
    Column::spare("TARGET", 1),
    Column::needed("VERDICT"),
    Column::needed("MEASURED"),
    Column::needed("THRESHOLD"),
    Column::spare("SAMPLE", 2),
    Column::spare("DETAIL", 3),
];

const AGENTS: [Column<'static>; 3] = [
    Column::needed("PROGRAM"),
    Column::needed("CLIENTS"),
    Column::needed("LAST SEEN").whole(),
];

const CLIENTS: [Column<'static>; 3] = [
    Column::needed("CLIENT"),
    Column::needed("PROGRAM"),
    Column::needed("LAST SEEN").whole(),
];

pub(super) fn lines(m: &ModuleView, width: Option<usize>) -> Vec<Line> {
    let Some(gate) = &m.gate else {
        return Vec::new();
    };
    let verdict = words::gate(m, false);
    let mut lines =
        vec![Line::of(Tone::Strong, format!("gate to {}: ", gate.step)).followed_by(verdict)];
    lines.extend(checks(gate, width));
    lines.extend(caveats(gate));
    lines
}

/// What stands in nobody's way and yet should be known.
pub(in crate::cli::module) fn caveats(gate: &Gate) -> impl Iterator<Item = Line> + '_ {
    let caveat = |told: &String| Line::of(Tone::Warn, "warning: ").with(Tone::Plain, told);
    gate.caveats.iter().map(caveat)
}

/// The checks, a line each.
pub(in crate::cli::module) fn checks(gate: &Gate, width: Option<usize>) -> Vec<Line> {
    if gate.checks.is_empty() {
        return Vec::new();
    }
    let rows = gate.checks.iter().map(row).collect();
    Table::new(&COLUMNS, rows).lines(width)
}

/// Who still polls, by program and by client.
pub(in crate::cli::module) fn pollers(pollers: &Pollers, width: Option<usize>) -> Vec<Line> {
    let text = |text: &str| Line::plain(if text.is_empty() { NOTHING } else { text });
    let by_agent = pollers.by_agent.iter().map(|one| {
        let count = Line::plain(one.clients.to_string());
        vec![
            text(&one.agent),
            count,
            Line::plain(words::time(&one.last_seen)),
        ]
    });
    let by_client = pollers.by_client.iter().map(|one| {
        let agent = text(one.agent.as_deref().unwrap_or_default());
        vec![
            text(&one.client),
            agent,
            Line::plain(words::time(&one.last_seen)),
        ]
    });
    let mut lines = Table::new(&AGENTS, by_agent.collect()).lines(width);
    lines.extend(more(pollers.agents, pollers.by_agent.len()));
    lines.push(Line::default());
    lines.extend(Table::new(&CLIENTS, by_client.collect()).lines(width));
    lines.extend(more(pollers.clients, pollers.by_client.len()));
    lines
}

fn more(all: u64, shown: usize) -> Option<Line> {
    let more = all.saturating_sub(shown as u64);
    (more > 0).then(|| Line::of(Tone::Faint, format!("and {more} more")))
}

fn row(check: &Check) -> Vec<Line> {
    let measured = check.measured.map_or_else(
        || NOTHING.to_owned(),
        |value| words::with_unit(&words::number(value), &check.unit),
    );
    let threshold = words::with_unit(&words::threshold(&check.threshold), &check.unit);
    let verdict = words::verdict(&check.verdict);
    let text = |text: &Option<String>| Line::plain(text.as_deref().unwrap_or(NOTHING));
    vec![
        Line::plain(&check.name),
        text(&check.target),
        Line::of(words::verdict_tone(&check.verdict), verdict),
        Line::plain(measured),
        Line::plain(threshold),
        Line::plain(words::number(check.sample)),
        text(&check.detail),
    ]
}
