//! What an act changes, before and after: the same for an act and for its dry run.

use super::screen::{self, Column, Line, Surface, Table, Tone};

/// What is said of an act that was only tried.
pub(super) const DRY: &str = "(dry run, nothing was changed)";

/// A fact, before and after.
pub(super) struct Fact {
    name: &'static str,
    before: String,
    after: String,
}

impl Fact {
    /// A fact that may have changed.
    pub(super) fn new(
        name: &'static str,
        before: impl Into<String>,
        after: impl Into<String>,
    ) -> Self {
        Self {
            name,
            before: before.into(),
            after: after.into(),
        }
    }

    fn has_changed(&self) -> bool {
        self.before != self.after
    }

    fn row(&self) -> Vec<Line> {
        let tone = if self.has_changed() {
            Tone::Strong
        } else {
            Tone::Plain
        };
        vec![
            Line::plain(self.name),
            Line::plain(&self.before),
            Line::of(tone, &self.after),
        ]
    }
}

/// What was done to what, then the first fact and those that change, then what else is to be known.
pub(super) fn text(what: &str, is_dry: bool, facts: &[Fact], notes: &[String]) -> String {
    let head = if is_dry {
        format!("{what} {DRY}")
    } else {
        what.to_owned()
    };
    let shown = facts.iter().enumerate();
    let shown = shown.filter(|(at, fact)| *at == 0 || fact.has_changed());
    let rows = shown.map(|(_, fact)| fact.row()).collect();
    let columns = ["", "BEFORE", "AFTER"].map(Column::needed);
    let mut lines = vec![Line::of(Tone::Strong, head)];
    lines.extend(Table::new(&columns, rows).lines(Surface::of_output().width));
    let warns = |note: &String| note.starts_with("warning");
    lines.extend(notes.iter().map(|note| {
        let tone = if warns(note) { Tone::Warn } else { Tone::Plain };
        Line::of(tone, note)
    }));
    screen::written(&lines)
}
