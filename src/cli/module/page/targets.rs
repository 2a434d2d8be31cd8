//! The brokers that get the module.

use serde_json::Value;

use super::fact;
use crate::cli::{
    module::{
        view::{Guard, ModuleView, Target},
        words::{self, NOTHING},
    },
    screen::{Column, Line, Table, Tone},
    verified_table,
};

const COLUMNS: [Column<'static>; 7] = [
    Column::needed("TARGET"),
    Column::needed("CONNECTED"),
    Column::needed("LAG"),
    Column::needed("GUARD"),
    Column::spare("PUSHED", 3),
    Column::spare("POSITION", 1),
    Column::spare("BEHIND", 2),
];

/// A line for each target, those too that another replica feeds.
pub(super) fn lines(m: &ModuleView, width: Option<usize>) -> Vec<Line> {
    let here = m.targets.iter().map(|target| row(m, target));
    let elsewhere = elsewhere(m).map(|guard| {
        let unknown = || Line::plain(NOTHING);
        vec![
            Line::plain(&guard.target),
            unknown(),
            unknown(),
            words::guard_of(guard),
            pushed(Some(guard)),
            unknown(),
            unknown(),
        ]
    });
    let rows: Vec<_> = here.chain(elsewhere).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    Table::new(&COLUMNS, rows).lines(width)
}

/// What is to be known of targets beside their figures.
pub(super) fn notes(m: &ModuleView) -> Vec<Line> {
    let here = m.targets.iter().filter_map(|target| {
        let (tone, what) = match (&target.halted, &target.skipped) {
            (Some(why), _) => (Tone::Bad, format!("halted: {why}")),
            (None, Some(what)) => (Tone::Warn, format!("skipped: {what}")),
            (None, None) => return None,
        };
        Some(fact(&target.name, Line::of(tone, what)))
    });
    let elsewhere = elsewhere(m).map(|guard| {
        let unknown = if m.from_memory.is_some() {
            "?"
        } else {
            "nobody"
        };
        let holder = m.lease_holder.as_deref().unwrap_or(unknown);
        let what = format!("fed by {holder}, not by the replica that answers");
        fact(&guard.target, Line::plain(what))
    });
    here.chain(elsewhere).collect()
}

/// The targets that the asked replica does not feed.
fn elsewhere(m: &ModuleView) -> impl Iterator<Item = &Guard> {
    let is_here = |name: &str| m.targets.iter().any(|target| target.name == name);
    m.guard.iter().filter(move |guard| !is_here(&guard.target))
}

fn row(m: &ModuleView, target: &Target) -> Vec<Line> {
    let guard = m.guard_of(&target.name);
    vec![
        Line::plain(&target.name),
        words::connected(target),
        Line::plain(words::duration(target.lag_ms)),
        guard.map_or_else(|| Line::plain(NOTHING), words::guard_of),
        pushed(guard),
        Line::plain(target.position.to_string()),
        Line::plain(target.behind.to_string()),
    ]
}

fn pushed(guard: Option<&Guard>) -> Line {
    let share = guard.and_then(|guard| guard.pushed_percent);
    Line::plain(share.map_or_else(|| NOTHING.to_owned(), words::percent))
}

/// What the verifiers have found.
pub(super) fn verified(m: &ModuleView, width: Option<usize>) -> Vec<Line> {
    let found = |target: &Target| Some((target.name.clone(), target.verified.clone()?));
    let found: Vec<(String, Value)> = m.targets.iter().filter_map(found).collect();
    verified_table::verified(&found, width)
}
