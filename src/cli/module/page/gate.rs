//! The gate of the next step: each check with its figures.

use crate::cli::{
    module::{
        view::{Check, ModuleView},
        words::{self, NOTHING},
    },
    screen::{Column, Line, Table, Tone},
};

const COLUMNS: [Column; 7] = [
    Column::needed("CHECK"),
    Column::spare("TARGET", 1),
    Column::needed("VERDICT"),
    Column::needed("MEASURED"),
    Column::needed("THRESHOLD"),
    Column::spare("SAMPLE", 2),
    Column::spare("DETAIL", 3),
];

pub(super) fn lines(m: &ModuleView, width: Option<usize>) -> Vec<Line> {
    let Some(gate) = &m.gate else {
        return Vec::new();
    };
    let verdict = words::gate(m, false);
    let mut lines =
        vec![Line::of(Tone::Strong, format!("gate to {}: ", gate.step)).followed_by(verdict)];
    if !gate.checks.is_empty() {
        let rows = gate.checks.iter().map(row).collect();
        lines.extend(Table::new(&COLUMNS, rows).lines(width));
    }
    lines
}

fn row(check: &Check) -> Vec<Line> {
    let measured = check.measured.map_or_else(
        || NOTHING.to_owned(),
        |value| with_unit(words::number(value), &check.unit),
    );
    let threshold = with_unit(words::threshold(&check.threshold), &check.unit);
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

fn with_unit(figure: String, unit: &str) -> String {
    if unit.is_empty() || figure == NOTHING {
        return figure;
    }
    format!("{figure} {unit}")
}
