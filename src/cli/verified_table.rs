//! What the verifier of each target has found, as tables.

use serde_json::Value;

use super::output::{cell, columns};

/// The outcomes, in the order of their columns.
const OUTCOMES: [&str; 8] = [
    "ok",
    "missing",
    "duplicate",
    "reordered",
    "previous",
    "late",
    "foreign",
    "unobserved",
];

/// A line per target, then a line per target that had a problem. `None` if nothing is verified.
pub(super) fn verified<'v>(targets: impl Iterator<Item = &'v Value>) -> Option<String> {
    let verified: Vec<_> = targets
        .filter(|target| target.get("verified").is_some_and(Value::is_object))
        .collect();
    if verified.is_empty() {
        return None;
    }
    let mut heads = vec!["VERIFIED".to_owned()];
    heads.extend(OUTCOMES.map(str::to_uppercase));
    heads.extend(["LISTENING", "SHARE", "SINCE"].map(str::to_owned));
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let rows: Vec<_> = verified.iter().map(|target| row(target)).collect();
    let mut text = columns(&heads, &rows);
    for problem in verified.iter().filter_map(|target| last_problem(target)) {
        text.push_str("\n\n");
        text.push_str(&problem);
    }
    Some(text)
}

fn row(target: &Value) -> Vec<String> {
    let found = &target["verified"];
    let mut row = vec![cell(target, "target")];
    row.extend(OUTCOMES.map(|outcome| cell(&found["outcomes"], outcome)));
    row.extend(["listening", "share", "since"].map(|member| cell(found, member)));
    row
}

fn last_problem(target: &Value) -> Option<String> {
    let problem = target["verified"].get("last_problem")?;
    problem.is_object().then(|| {
        format!(
            "last problem on {}: {} at position {}, {}: {}",
            cell(target, "target"),
            cell(problem, "outcome"),
            cell(problem, "position"),
            cell(problem, "at"),
            cell(problem, "detail")
        )
    })
}
