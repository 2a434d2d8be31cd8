//! What an act changes, before and after: the same for an act and for its dry run. Where the table does not fit, a line for each
//! fact says the same, so that nothing is cut.

use super::screen::{self, Column, Line, Surface, Table, Tone, folded};

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

    fn tone(&self) -> Tone {
        if self.has_changed() {
            Tone::Strong
        } else {
            Tone::Plain
        }
    }

    fn row(&self) -> Vec<Line> {
        vec![
            Line::plain(self.name),
            Line::plain(&self.before),
            Line::of(self.tone(), &self.after),
        ]
    }

    fn line(&self) -> Line {
        let before = format!("{}: {} -> ", self.name, self.before);
        Line::plain(before).with(self.tone(), &self.after)
    }
}

/// What was done to what, then the first fact and those that change, then what else is to be known.
pub(super) fn text(what: &str, is_dry: bool, facts: &[Fact], notes: &[String]) -> String {
    let head = if is_dry {
        format!("{what} {DRY}")
    } else {
        what.to_owned()
    };
    screen::written(&lines(&head, facts, notes, Surface::of_output().width))
}

fn lines(head: &str, facts: &[Fact], notes: &[String], width: Option<usize>) -> Vec<Line> {
    let shown = facts.iter().enumerate();
    let shown = shown.filter(|(at, fact)| *at == 0 || fact.has_changed());
    let shown: Vec<_> = shown.map(|(_, fact)| fact).collect();
    let mut lines = folded([Line::of(Tone::Strong, head)], width, 2);
    lines.extend(told(&shown, width));
    let warns = |note: &String| note.starts_with("warning");
    let notes = notes.iter().map(|note| {
        let tone = if warns(note) { Tone::Warn } else { Tone::Plain };
        Line::of(tone, note)
    });
    lines.extend(folded(notes, width, 4));
    lines
}

fn told(facts: &[&Fact], width: Option<usize>) -> Vec<Line> {
    let columns = ["", "BEFORE", "AFTER"].map(Column::needed);
    let rows = facts.iter().map(|fact| fact.row());
    let table = Table::new(&columns, rows.collect());
    if width.is_none_or(|width| table.natural_width() <= width) {
        return table.lines(width);
    }
    folded(facts.iter().map(|fact| fact.line()), width, 4)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn shown(width: Option<usize>) -> String {
        let facts = [
            Fact::new("stage", "ramp", "sunset"),
            Fact::new("in force", "ramp", "ramp"),
            Fact::new("polls end", "-", "2030-01-01 00:00:00Z"),
            Fact::new("blocked", "-", "terminal-0007 terminal-0008 terminal-0009"),
        ];
        let notes = ["warning: 2 gates were passed by force, see the history".to_owned()];
        let head = format!("commission: sunset {DRY}");
        let lines = lines(&head, &facts, &notes, width);
        if let Some(width) = width {
            assert!(lines.iter().all(|line| line.width() <= width), "too wide");
        }
        let lines = lines.iter().map(|line| line.written(false));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn facts_are_a_table_where_it_fits_and_lines_where_it_does_not() {
        assert_snapshot!("act_80", shown(Some(80)));
        assert_snapshot!("act_40", shown(Some(40)));
        assert!(shown(None).ends_with("warning: 2 gates were passed by force, see the history"));
    }
}
