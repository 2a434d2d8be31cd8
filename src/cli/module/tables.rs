//! What the admin API says about modules, as tables.

use serde_json::Value;

use crate::{
    cli::{
        epoch,
        output::{cell, columns, line},
        panic, verified_table,
    },
    domain::Routing,
};

/// All modules, a line each.
pub(super) fn modules(answer: &Value) -> String {
    let heads = [
        "MODULE", "STAGE", "PERCENT", "PAUSED", "HEAD", "LAG MS", "HOLDER", "VERSION", "CHANGED",
        "BY", "REASON",
    ];
    let row = |m: &Value| {
        vec![
            cell(m, "module"),
            stage(m),
            percent(m),
            cell(m, "paused"),
            cell(m, "head"),
            lag(m),
            cell(m, "lease_holder"),
            cell(m, "version"),
            cell(m, "changed_at"),
            cell(m, "changed_by"),
            cell(m, "reason"),
        ]
    };
    columns(
        &heads,
        &list(answer, "modules").map(row).collect::<Vec<_>>(),
    )
}

/// One module, a line per fact, then its targets.
pub(super) fn module(m: &Value) -> String {
    let facts = [
        "module",
        "stage_requested",
        "stage_effective",
        "reason",
        "percent",
        "include",
        "exclude",
        "routes",
        "ends_at",
        "brownouts",
        "block",
        "paused",
        "version",
        "changed_by",
        "changed_at",
        "head",
        "epoch",
        "retained_from",
        "lease_holder",
    ];
    let fact = |name: &&str| match *name {
        "percent" => format!("{name:<16}{}", percent(m)),
        "include" | "exclude" | "block" => format!("{name:<16}{}", members(m, name, " ")),
        "brownouts" => format!("{name:<16}{}", members(m, name, ", ")),
        "routes" => format!("{name:<16}{}", routes(m)),
        "stage_effective" => format!("{name:<16}{}", effective(m)),
        _ => format!("{name:<16}{}", cell(m, name)),
    };
    let mut text = facts.iter().map(fact).collect::<Vec<_>>().join("\n");
    let panics: Vec<_> = list(m, "panics").cloned().collect();
    if !panics.is_empty() {
        text.push_str("\n\n");
        text.push_str(&panic::in_force(&panics));
    }
    let row = |t: &Value| {
        ["target", "position", "lag_ms", "connected"]
            .map(|member| cell(t, member))
            .to_vec()
    };
    let targets: Vec<_> = list(m, "targets").map(row).collect();
    if !targets.is_empty() {
        text.push_str("\n\n");
        text.push_str(&columns(
            &["TARGET", "POSITION", "LAG MS", "CONNECTED"],
            &targets,
        ));
    }
    if let Some(verified) = verified_table::verified(list(m, "targets")) {
        text.push_str("\n\n");
        text.push_str(&verified);
    }
    text
}

/// Audit entries, a line each.
pub(super) fn history(answer: &Value) -> String {
    let row = |entry: &Value| {
        let side = |name| entry.get(name).map_or_else(|| "-".to_owned(), record);
        vec![
            cell(entry, "at"),
            cell(entry, "actor"),
            cell(entry, "action"),
            format!("{} -> {}", side("before"), side("after")),
            cell(entry, "reason"),
        ]
    };
    let rows: Vec<_> = list(answer, "entries").map(row).collect();
    columns(&["AT", "ACTOR", "ACTION", "CHANGE", "REASON"], &rows)
}

/// An act, before and after.
pub(super) fn act(answer: &Value) -> String {
    let after = answer.get("after").unwrap_or(&Value::Null);
    let before = match answer.get("before") {
        Some(before) if !before.is_null() => summary(before),
        _ => "-".to_owned(),
    };
    let dry = answer.get("dry_run") == Some(&Value::Bool(true));
    let done = format!("{}: {before} -> {}", cell(after, "module"), summary(after));
    let outcome = if dry {
        let preview = answer.get("preview").map(preview).unwrap_or_default();
        format!("{done} (dry run, nothing was changed){preview}")
    } else {
        format!("{done} (version {})", cell(after, "version"))
    };
    let warnings = list(answer, "warnings").map(|warning| format!("warning: {}", line(warning)));
    std::iter::once(outcome)
        .chain(warnings)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Whom it would move, a line for each way.
fn preview(preview: &Value) -> String {
    let known = cell(preview, "known");
    let mut text = format!("\nof {known} clients of the census");
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
        let line = format!("\n  {count} {what}: {}{rest}", sample.join(" "));
        text.push_str(line.trim_end().trim_end_matches(':'));
    }
    text
}

fn summary(m: &Value) -> String {
    let paused = m.get("paused") == Some(&Value::Bool(true));
    let frozen = if paused { ", paused" } else { "" };
    let routes = match list(m, "routes").len() {
        0 => String::new(),
        _ => format!(", {}", routes(m)),
    };
    let count = |name| list(m, name).len();
    let lists = lists(count("include"), count("exclude"));
    let at = m.get("ends_at").and_then(Value::as_str);
    let end = end(at, count("brownouts"), count("block"));
    format!(
        "{} at {} %{lists}{routes}{end}{frozen}",
        stage(m),
        percent(m)
    )
}

/// The entries of a list.
fn members(m: &Value, name: &str, between: &str) -> String {
    let entries: Vec<_> = list(m, name).filter_map(Value::as_str).collect();
    if entries.is_empty() {
        return "-".to_owned();
    }
    entries.join(between)
}

/// What is planned for the end of the polls.
fn end(at: Option<&str>, brownouts: usize, block: usize) -> String {
    let at = at.map_or_else(String::new, |at| format!(", ends {at}"));
    let said = |count: usize, what| match count {
        0 => String::new(),
        count => format!(", {count} {what}"),
    };
    at + &said(brownouts, "brown-outs") + &said(block, "blocked")
}

/// How many entries the lists of a cohort have; nothing if they are empty.
fn lists(include: usize, exclude: usize) -> String {
    let said = |count: usize, what| match count {
        0 => String::new(),
        count => format!(", {count} {what}"),
    };
    said(include, "included") + &said(exclude, "excluded")
}

/// `old` for everybody, or `95 % old, 5 % new`.
fn routes(m: &Value) -> String {
    let shares: Vec<_> = list(m, "routes").collect();
    match &shares[..] {
        [] => "-".to_owned(),
        [only] => cell(only, "target"),
        several => {
            let told = several
                .iter()
                .map(|share| format!("{} % {}", percent(share), cell(share, "target")));
            told.collect::<Vec<_>>().join(", ")
        }
    }
}

/// A stored record in the audit: its stage word, and its share in basis points; or a log's bounds.
fn record(value: &Value) -> String {
    if value.get("epoch").is_some() {
        return epoch::mark(value);
    }
    if let Some(lifted) = value.get("lifted_at") {
        let over = match value.get("module") {
            Some(Value::String(module)) => module.as_str(),
            _ => "all modules",
        };
        let word = if lifted.is_null() {
            "panic"
        } else {
            "no panic"
        };
        return format!("{word} over {over}");
    }
    let Some(stage) = value.get("stage").and_then(Value::as_str) else {
        return match value.get("retained_from").and_then(Value::as_u64) {
            Some(from) => format!("retained from {from}"),
            None => "-".to_owned(),
        };
    };
    let points = value
        .pointer("/cohort/basis_points")
        .and_then(Value::as_u64);
    let share = points
        .and_then(|points| crate::domain::BasisPoints::new(u16::try_from(points).ok()?).ok())
        .map(|share| format!(" at {share} %"))
        .unwrap_or_default();
    let count = |name: &str| {
        let entries = value.pointer(name);
        entries.and_then(Value::as_array).map_or(0, Vec::len)
    };
    let lists = lists(count("/cohort/include"), count("/cohort/exclude"));
    let end = end(None, count("/ending/brownouts"), count("/ending/block"));
    let routing = value.get("routing").cloned().unwrap_or_default();
    let routing: Routing = serde_json::from_value(routing).unwrap_or_default();
    let routing = match routing.target {
        Some(_) => format!(", {routing}"),
        None => String::new(),
    };
    let paused = value.get("paused") == Some(&Value::Bool(true));
    let paused = if paused { ", paused" } else { "" };
    format!("{stage}{share}{lists}{routing}{end}{paused}")
}

/// The effective stage, and why it is that one.
fn effective(m: &Value) -> String {
    let effective = cell(m, "stage_effective");
    match m.get("effective_reason") {
        Some(_) => format!("{effective} ({})", cell(m, "effective_reason")),
        None => effective,
    }
}

/// The requested stage, and the effective one where it differs, with the cause if something holds it down.
fn stage(m: &Value) -> String {
    let requested = cell(m, "stage_requested");
    let effective = cell(m, "stage_effective");
    let panics = list(m, "panics").len() > 0;
    match (requested == effective, panics) {
        (true, false) => requested,
        (true, true) => format!("{requested} (panic)"),
        (false, false) => format!("{requested} ({effective})"),
        (false, true) => format!("{requested} ({effective}, panic)"),
    }
}

/// `10`, not `10.0`.
fn percent(m: &Value) -> String {
    match m.get("percent").and_then(Value::as_f64) {
        Some(percent) => percent.to_string(),
        None => cell(m, "percent"),
    }
}

/// The largest lag, with the name of its target; a target without connection says so.
fn lag(m: &Value) -> String {
    let lag_of = |t: &&Value| t.get("lag_ms").and_then(Value::as_f64).unwrap_or(0.0);
    let worst = list(m, "targets").max_by(|a, b| lag_of(a).total_cmp(&lag_of(b)));
    let Some(target) = worst else {
        return "-".to_owned();
    };
    let down = target.get("connected") == Some(&Value::Bool(false));
    format!(
        "{}{}",
        cell(target, "lag_ms"),
        if down { " (not connected)" } else { "" }
    )
}

fn list<'v>(value: &'v Value, member: &str) -> std::slice::Iter<'v, Value> {
    value
        .get(member)
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice)
        .iter()
}
