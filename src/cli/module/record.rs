//! What the audit keeps of before and after, in a few words.

use serde_json::Value;

use super::words;
use crate::{
    cli::{epoch, output::line},
    domain::{BasisPoints, Routing},
};

/// A stored record: its stage word, and its share in basis points; or a log's bounds; or a panic; or what the guard saw.
pub(super) fn summary(value: &Value) -> String {
    if value.get("epoch").is_some() {
        return epoch::mark(value);
    }
    if let Some(lifted) = value.get("lifted_at") {
        return panic(value, lifted);
    }
    if let Some(state) = value.get("state").and_then(Value::as_str) {
        return guard(value, state);
    }
    if let Some(stage) = value.get("stage").and_then(Value::as_str) {
        return flags(value, stage);
    }
    match value.get("retained_from").and_then(Value::as_u64) {
        Some(from) => format!("retained from {from}"),
        None => words::NOTHING.to_owned(),
    }
}

/// The checks that a step was made past, if it was this act that did so: the record keeps them as long as the module stays there.
pub(super) fn overridden(before: &Value, after: &Value) -> Option<Vec<String>> {
    let forced = after.get("forced")?;
    if before.get("stage") == after.get("stage") {
        return None;
    }
    let checks = forced.get("checks").and_then(Value::as_array);
    let checks = checks.map_or(&[][..], Vec::as_slice).iter();
    Some(checks.map(line).collect())
}

fn panic(value: &Value, lifted: &Value) -> String {
    let over = match value.get("module") {
        Some(Value::String(module)) => module.as_str(),
        _ => "all modules",
    };
    let word = if lifted.is_null() {
        "panic"
    } else {
        "no panic"
    };
    format!("{word} over {over}")
}

fn guard(value: &Value, state: &str) -> String {
    let text = |member| value.get(member).and_then(Value::as_str);
    let target = text("target").map_or_else(String::new, |target| format!(" on {target}"));
    let cause = text("cause").or_else(|| text("reason"));
    let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
    format!("{state}{target}{cause}")
}

fn flags(value: &Value, stage: &str) -> String {
    let points = value
        .pointer("/cohort/basis_points")
        .and_then(Value::as_u64);
    let share = points
        .and_then(|points| BasisPoints::new(u16::try_from(points).ok()?).ok())
        .map(|share| format!(" at {share} %"))
        .unwrap_or_default();
    let count = |name: &str, what| {
        let entries = value.pointer(name).and_then(Value::as_array);
        match entries.map_or(0, Vec::len) {
            0 => String::new(),
            count => format!(", {count} {what}"),
        }
    };
    let lists = count("/cohort/include", "included") + &count("/cohort/exclude", "excluded");
    let end = count("/ending/brownouts", "brown-outs") + &count("/ending/block", "blocked");
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
