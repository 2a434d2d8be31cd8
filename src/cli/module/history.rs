//! What was done to a module: a table where it fits, and where it does not a paragraph for each act, so that nothing is cut.

use super::{record, view::Entry, words};
use crate::cli::screen::{Column, Line, Table, Tone};

const COLUMNS: [Column<'static>; 5] = [
    Column::needed("AT").whole(),
    Column::needed("ACTOR"),
    Column::needed("ACTION"),
    Column::needed("CHANGE"),
    Column::needed("REASON"),
];

/// The lines, in at most `width` columns if none of its words is longer.
pub(super) fn lines(entries: &[Entry], width: Option<usize>) -> Vec<Line> {
    if entries.is_empty() {
        return vec![Line::plain("nobody has acted on it yet")];
    }
    let table = Table::new(&COLUMNS, entries.iter().map(row).collect());
    if width.is_none_or(|width| table.natural_width() <= width) {
        return table.lines(width);
    }
    let paragraphs = entries.iter().map(|entry| paragraph(entry, width));
    paragraphs.collect::<Vec<_>>().join(&Line::default())
}

/// The newest of them, a line each, cut where they must be.
pub(super) fn newest(entries: &[Entry], width: Option<usize>) -> Vec<Line> {
    Table::new(&COLUMNS, entries.iter().map(row).collect()).lines(width)
}

fn row(entry: &Entry) -> Vec<Line> {
    vec![
        Line::plain(words::time(&entry.at)),
        Line::plain(&entry.actor),
        Line::of(Tone::Strong, &entry.action),
        change(entry),
        Line::plain(&entry.reason),
    ]
}

fn paragraph(entry: &Entry, width: Option<usize>) -> Vec<Line> {
    let head = Line::plain(words::time(&entry.at))
        .with(Tone::Plain, "  ")
        .with(Tone::Strong, &entry.action)
        .with(Tone::Plain, format!(" by {}", entry.actor));
    let indented = |line: Line| Line::plain("    ").followed_by(line);
    let lines = [
        head,
        indented(change(entry)),
        indented(Line::plain(&entry.reason)),
    ];
    let lines = lines.into_iter();
    match width {
        Some(width) => lines.flat_map(|line| line.wrapped(width, 4)).collect(),
        None => lines.collect(),
    }
}

/// Before and after, and what was overridden for it.
fn change(entry: &Entry) -> Line {
    let (before, after) = (
        record::summary(&entry.before),
        record::summary(&entry.after),
    );
    let change = Line::plain(format!("{before} -> {after}"));
    match record::overridden(&entry.before, &entry.after) {
        Some(checks) => {
            let past = words::entries(&checks, ", ");
            change.with(Tone::Warn, format!(", forced past {past}"))
        }
        None => change,
    }
}
