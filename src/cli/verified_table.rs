//! What the verifier of each target has found: a table where it fits, and where it does not a paragraph for each target.

use serde_json::Value;

use super::{
    output::cell,
    screen::{Column, Line, Table, Tone, folded},
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
    let table = Table::new(&heads, rows.collect());
    let fits = width.is_none_or(|width| table.least_width() <= width);
    let mut lines = if fits {
        table.lines(width)
    } else {
        let told = verified.iter().map(|(target, found)| told(target, found));
        folded(told, width, 2)
    };
    for (target, found) in verified {
        if let Some(problem) = last_problem(target, found) {
            lines.push(Line::default());
            lines.extend(folded([Line::plain(problem)], width, 2));
        }
    }
    lines
}

fn row(target: &str, found: &Value) -> Vec<Line> {
    let outcomes = OUTCOMES.map(|(outcome, _)| {
        let (tone, count) = counted(found, outcome);
        Line::of(tone, count)
    });
    let facts = FACTS.map(|(member, _)| Line::plain(cell(found, member)));
    let target = std::iter::once(Line::plain(target));
    target.chain(outcomes).chain(facts).collect()
}

/// How often there was an outcome; only one is wanted.
fn counted(found: &Value, outcome: &str) -> (Tone, String) {
    let count = cell(&found["outcomes"], outcome);
    let is_fine = outcome == "ok" || count == "0" || count == "-";
    (if is_fine { Tone::Plain } else { Tone::Warn }, count)
}

/// The same as a sentence.
fn told(target: &str, found: &Value) -> Line {
    let mut line = Line::of(Tone::Strong, format!("verified {target}"));
    for (at, (outcome, _)) in OUTCOMES.iter().enumerate() {
        let (tone, count) = counted(found, outcome);
        let before = if at == 0 { ": " } else { ", " };
        line = line
            .with(Tone::Plain, before)
            .with(tone, format!("{outcome} {count}"));
    }
    let facts = FACTS.map(|(member, _)| format!(", {member} {}", cell(found, member)));
    line.with(Tone::Plain, facts.concat())
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

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    fn shown(width: usize) -> String {
        let outcomes = json!({"ok": 120_431, "missing": 2, "duplicate": 0, "reordered": 0, "previous": 0, "late": 1, "foreign": 0,
            "unobserved": 0});
        let problem = json!({"outcome": "missing", "position": 4711, "at": "2030-01-01T00:00:00Z", "detail": "it did not come within 5 s"});
        let found = json!({"outcomes": outcomes, "listening": true, "share": 1.0, "since": "2030-01-01T00:00:00Z",
            "last_problem": problem});
        let lines = verified(&[("rabbitmq".to_owned(), found)], Some(width));
        assert!(lines.iter().all(|line| line.width() <= width), "too wide");
        let lines = lines.iter().map(|line| line.written(false));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn outcomes_are_a_table_where_it_fits_and_a_paragraph_where_it_does_not() {
        assert_snapshot!("verified_80", shown(80));
        assert_snapshot!("verified_40", shown(40));
    }
}
