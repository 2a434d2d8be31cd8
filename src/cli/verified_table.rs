//! What the verifier of each target has found, as tables.

use serde_json::Value;

use super::{
    output::cell,
    screen::{Column, Line, Table, Tone},
};

/// The outcomes, in the order of their columns, with their heads.
const OUTCOMES: [(&str, &str); 8] = [
    ("ok", "OK"),
    ("missing", "MISSING"),
    ("duplicate", "DUPLICATE"),
    ("reordered", "REORDERED"),
    ("previous", "PREVIOUS"),
    ("late", "LATE"),
    ("foreign", "FOREIGN"),
    ("unobserved", "UNOBSERVED"),
];

/// The rest of what is told.
const FACTS: [(&str, &str); 3] = [
    ("listening", "LISTENING"),
    ("share", "SHARE"),
    ("since", "SINCE"),
];

/// A line per target and what was found there, then a line per target that had a problem; nothing if nothing is verified.
pub(super) fn verified(targets: &[(String, Value)], width: Option<usize>) -> Vec<Line> {
    let verified = targets.iter().filter(|(_, found)| found.is_object());
    let verified: Vec<_> = verified.collect();
    if verified.is_empty() {
        return Vec::new();
    }
    let heads = OUTCOMES.iter().chain(&FACTS).map(|(_, head)| *head);
    // Where there is little room, what is found more rarely is left out last.
    let heads = heads.map(|head| match head {
        "SINCE" => Column::spare(head, 3),
        "SHARE" => Column::spare(head, 2),
        "PREVIOUS" | "FOREIGN" | "UNOBSERVED" => Column::spare(head, 1),
        head => Column::needed(head),
    });
    let heads: Vec<_> = std::iter::once(Column::needed("VERIFIED"))
        .chain(heads)
        .collect();
    let rows = verified.iter().map(|(target, found)| row(target, found));
    let mut lines = Table::new(&heads, rows.collect()).lines(width);
    for (target, found) in verified {
        if let Some(problem) = last_problem(target, found) {
            lines.push(Line::default());
            lines.push(Line::plain(problem));
        }
    }
    lines
}

fn row(target: &str, found: &Value) -> Vec<Line> {
    let outcomes = OUTCOMES.iter().map(|(outcome, _)| {
        let count = cell(&found["outcomes"], outcome);
        let is_fine = *outcome == "ok" || count == "0" || count == "-";
        Line::of(if is_fine { Tone::Plain } else { Tone::Warn }, count)
    });
    let facts = FACTS
        .iter()
        .map(|(member, _)| Line::plain(cell(found, member)));
    let target = std::iter::once(Line::plain(target));
    target.chain(outcomes).chain(facts).collect()
}

fn last_problem(target: &str, found: &Value) -> Option<String> {
    let problem = found.get("last_problem")?;
    problem.is_object().then(|| {
        format!(
            "last problem on {target}: {} at position {}, {}: {}",
            cell(problem, "outcome"),
            cell(problem, "position"),
            cell(problem, "at"),
            cell(problem, "detail")
        )
    })
}
