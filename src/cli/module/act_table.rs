//! An act on a module: what it changes, whom it would move, and what should be known.

use serde_json::Value;

use super::{
    view::ModuleView,
    words::{self, NOTHING},
};
use crate::cli::{
    act_table::{self, Fact},
    output::{cell, line},
};

/// The answer to an act, as lines.
pub(super) fn text(action: &str, answer: &Value) -> String {
    let side = |name| {
        let side = answer.get(name).cloned().unwrap_or_default();
        serde_json::from_value(side).unwrap_or_default()
    };
    let (before, after): (ModuleView, ModuleView) = (side("before"), side("after"));
    let is_dry = answer.get("dry_run") == Some(&Value::Bool(true));
    let mut notes = Vec::new();
    if let Some(preview) = answer.get("preview").filter(|preview| preview.is_object()) {
        notes.extend(moved(preview));
    }
    notes.extend(list(answer, "warnings").map(|warning| format!("warning: {}", line(warning))));
    let what = format!("{}: {action}", after.module);
    act_table::text(&what, is_dry, &facts(&before, &after), &notes)
}

fn facts(before: &ModuleView, after: &ModuleView) -> Vec<Fact> {
    let fact = |name, of: &dyn Fn(&ModuleView) -> String| Fact::new(name, of(before), of(after));
    let share = |m: &ModuleView| m.percent.map_or_else(|| NOTHING.to_owned(), words::percent);
    let forced = |m: &ModuleView| {
        let forced = m.forced.as_ref();
        forced.map_or_else(|| NOTHING.to_owned(), |f| words::entries(&f.checks, ", "))
    };
    vec![
        fact("stage", &|m| m.stage_requested.clone()),
        fact("in force", &|m| words::effective(m).written(false)),
        fact("share", &share),
        fact("included", &|m| words::entries(&m.include, " ")),
        fact("excluded", &|m| words::entries(&m.exclude, " ")),
        fact("targets", &|m| words::routes(&m.routes)),
        fact("polls end", &|m| words::time_or_nothing(m.ends_at.as_ref())),
        fact("brown-outs", &|m| words::entries(&m.brownouts, ", ")),
        fact("blocked", &|m| words::entries(&m.block, " ")),
        fact("paused", &|m| {
            if m.paused { "yes" } else { "no" }.to_owned()
        }),
        fact("forced past", &forced),
        fact("version", &|m| m.version.to_string()),
    ]
}

/// Whom it would move, a line for each way.
fn moved(preview: &Value) -> Vec<String> {
    let known = cell(preview, "known");
    let clients = words::with_unit(&known, "clients");
    let mut lines = vec![format!("of {clients} of the census")];
    for (member, what) in [
        ("to_push", "would take the push"),
        ("to_poll", "would poll again"),
    ] {
        let moved = preview.get(member).unwrap_or(&Value::Null);
        let sample: Vec<_> = list(moved, "sample").filter_map(Value::as_str).collect();
        let count = cell(moved, "clients");
        let rest = match moved.get("clients").and_then(Value::as_u64) {
            Some(clients) if clients > sample.len() as u64 => " ...",
            _ => "",
        };
        let line = format!("  {count} {what}: {}{rest}", sample.join(" "));
        lines.push(line.trim_end().trim_end_matches(':').to_owned());
    }
    lines
}

fn list<'v>(value: &'v Value, member: &str) -> std::slice::Iter<'v, Value> {
    value
        .get(member)
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice)
        .iter()
}
