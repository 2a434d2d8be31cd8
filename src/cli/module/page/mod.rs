//! A module on one page: where it stands, whether it may go on, who comes how, and what was done last.
//!
//! Invariant: what the gateway does not say is left out, so that no figure is made up.

mod clients;
pub(super) mod gate;
mod ladder;
mod rates;
mod targets;

use super::{
    history,
    rates::Series,
    view::{Entry, ModuleView},
    words,
};
use crate::cli::{
    panic,
    screen::{Line, Tone},
};

/// What is shown of a module.
pub(super) struct Page<'a> {
    pub(super) module: &'a ModuleView,
    /// The newest acts.
    pub(super) acts: &'a [Entry],
    /// How often things have happened in the last while; empty after a single look.
    pub(super) series: &'a [Series],
}

/// How wide a page is where nothing bounds it, and a sparkline has to end somewhere.
const WIDE: usize = 120;

/// How far facts stand from their names.
const INDENT: usize = 11;

impl Page<'_> {
    /// The lines, in at most `width` columns; without one, nothing is cut.
    pub(super) fn lines(&self, width: Option<usize>) -> Vec<Line> {
        let m = self.module;
        let folded = |lines: Vec<Line>, indent| match width {
            Some(width) => wrapped(lines, width, indent),
            None => lines,
        };
        let facts = |lines| folded(lines, INDENT);
        let mut sections = vec![
            folded(memory(m), 0),
            facts(head(m)),
            facts(ladder::lines(m)),
        ];
        if !m.panics.is_empty() {
            sections.push(panic::in_force(&m.panics).lines(width));
        }
        sections.extend([
            gate::lines(m, width),
            facts(clients::lines(m)),
            rates::lines(m, self.series, width.unwrap_or(WIDE)),
            [targets::lines(m, width), facts(targets::notes(m))].concat(),
            targets::verified(m, width),
        ]);
        if !self.acts.is_empty() {
            sections.push(history::newest(self.acts, width));
        }
        sections.retain(|section| !section.is_empty());
        sections.join(&Line::default())
    }
}

fn wrapped(lines: Vec<Line>, width: usize, indent: usize) -> Vec<Line> {
    let lines = lines.into_iter();
    lines.flat_map(|line| line.wrapped(width, indent)).collect()
}

/// That the database does not answer, and what is not known because of that.
fn memory(m: &ModuleView) -> Vec<Line> {
    let Some(memory) = &m.from_memory else {
        return Vec::new();
    };
    let text = format!(
        "{}. Not known are who numbers it, its gate, and the last acts. Acts are refused until it answers.",
        words::from_memory(memory)
    );
    vec![Line::of(Tone::Bad, text)]
}

fn head(m: &ModuleView) -> Vec<Line> {
    let holder = match &m.lease_holder {
        Some(holder) => Line::plain(format!("numbered by {holder}")),
        None if m.from_memory.is_some() => Line::plain("numbered by ?"),
        None => Line::of(Tone::Bad, "numbered by nobody"),
    };
    let log = format!(
        "  version {}, epoch {}, log {} to {}, ",
        m.version, m.epoch, m.retained_from, m.head
    );
    let head = Line::of(Tone::Strong, &m.module).with(Tone::Plain, log);
    vec![head.followed_by(holder)]
}

/// A fact after its name.
fn fact(name: &str, what: Line) -> Line {
    let name = Line::plain(name).padded(INDENT - 1);
    name.with(Tone::Plain, " ").followed_by(what)
}

/// Who did it when and why.
fn by(actor: &str, at: Option<&String>, reason: &str) -> String {
    format!("by {actor} at {}: {reason}", words::time_or_nothing(at))
}
