//! All modules, a line each.

use super::{
    view::{FromMemory, ModuleView},
    words::{self, NOTHING},
};
use crate::cli::screen::{Column, Line, Table, Tone};

/// What is needed to see where a fleet stands comes first, and stays where there is little room.
const COLUMNS: [Column<'static>; 13] = [
    Column::needed("MODULE"),
    Column::needed("STAGE"),
    Column::needed("EFFECTIVE"),
    Column::needed("ON PUSH"),
    Column::needed("LAG"),
    Column::needed("GUARD"),
    Column::needed("GATE"),
    Column::spare("HEAD", 2),
    Column::spare("HOLDER", 3),
    Column::spare("VERSION", 4),
    Column::spare("CHANGED", 6),
    Column::spare("BY", 5),
    Column::spare("REASON", 1),
];

/// From here on there is room for details.
const ROOMY: usize = 110;

/// The lines, in at most `width` columns; without one, all of it.
pub(super) fn lines(modules: &[ModuleView], width: Option<usize>) -> Vec<Line> {
    if modules.is_empty() {
        return vec![Line::plain("no modules are configured")];
    }
    // A list may say nothing of gates: then a column of it says nothing either.
    let tells_gates = modules.iter().any(|m| m.gate.is_some());
    let is_narrow = width.is_some_and(|width| width < ROOMY);
    let rows = modules.iter().map(|m| row(m, is_narrow));
    let table = Table::new(&COLUMNS, rows.collect());
    let table = if tells_gates {
        table
    } else {
        table.without("GATE")
    };
    let mut lines = remembered(modules).map_or_else(Vec::new, |memory| warning(memory, width));
    lines.extend(table.lines(width));
    lines
}

/// That the gateway tells what it remembers, if so.
pub(super) fn remembered(modules: &[ModuleView]) -> Option<&FromMemory> {
    modules.iter().find_map(|m| m.from_memory.as_ref())
}

fn warning(memory: &FromMemory, width: Option<usize>) -> Vec<Line> {
    let text = format!(
        "{}. Acts are refused until it answers.",
        words::from_memory(memory)
    );
    let line = Line::of(Tone::Bad, text);
    let mut lines = match width {
        Some(width) => line.wrapped(width, 0),
        None => vec![line],
    };
    lines.push(Line::default());
    lines
}

fn row(m: &ModuleView, is_narrow: bool) -> Vec<Line> {
    let holder = m.lease_holder.as_deref().unwrap_or(NOTHING);
    vec![
        Line::of(Tone::Strong, &m.module),
        stage(m),
        words::effective_in_short(m),
        Line::plain(words::on_push(m)),
        words::lag(m),
        words::guard(m, is_narrow),
        words::gate(m, is_narrow),
        Line::plain(m.head.to_string()),
        Line::plain(holder),
        Line::plain(m.version.to_string()),
        Line::plain(words::time_or_nothing(m.changed_at.as_ref())),
        Line::plain(or_nothing(&m.changed_by)),
        Line::plain(or_nothing(&m.reason)),
    ]
}

/// A step that was forced stays visible.
fn stage(m: &ModuleView) -> Line {
    let stage = Line::plain(words::requested(m));
    match m.forced {
        Some(_) => stage.with(Tone::Warn, ", forced"),
        None => stage,
    }
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { NOTHING } else { text }
}
