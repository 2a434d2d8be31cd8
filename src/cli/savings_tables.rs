//! The tables of `changeover savings`.

use serde_json::Value;

use super::output::{cell, columns, line};

/// Modules, all of them together, what could be smaller, and what all that assumes.
pub(super) fn savings(answer: &Value) -> String {
    let money = match answer.get("currency") {
        Some(Value::String(_)) => format!("{}/MONTH", cell(answer, "currency")),
        _ => "/MONTH".to_owned(),
    };
    let heads = [
        "MODULE",
        "STAGE",
        "REQ/S BEFORE",
        "NOW",
        "SQL/S BEFORE",
        "NOW",
        "PUSHED/S",
        &money,
        "NOW",
        "SAVED",
    ];
    let mut rows: Vec<_> = list(answer, "modules").map(module).collect();
    rows.extend(answer.get("overall").map(overall));
    let mut text = columns(&heads, &rows);
    let gateways = at(answer, &["overall", "gateways"]);
    if gateways.is_some_and(Value::is_object) {
        text.push_str(&format!(
            "\n\nof all, for no module (sessions, flags, the gateways' own statements): {} requests/s, {} statements/s",
            rate(gateways, "requests_per_s"),
            rate(gateways, "queries_per_s")
        ));
    }
    for one in list(answer, "modules") {
        for note in list(one, "notes") {
            text.push_str(&format!("\n{}: {}", cell(one, "module"), line(note)));
        }
    }
    let unused = list(answer, "unused").map(|one| cell(one, "text"));
    section(&mut text, "unused:", unused.collect());
    section(&mut text, "could be smaller:", lines(answer, "shrink"));
    section(&mut text, "assumed:", lines(answer, "assumptions"));
    text
}

fn section(text: &mut String, head: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    text.push_str("\n\n");
    text.push_str(head);
    for line in lines {
        text.push_str("\n  ");
        text.push_str(&line);
    }
}

fn module(one: &Value) -> Vec<String> {
    let mut row = vec![cell(one, "module"), cell(one, "stage")];
    let costs = [at(one, &["before", "cost"]), at(one, &["now", "cost"])];
    row.extend(figures(costs, one));
    row
}

fn overall(all: &Value) -> Vec<String> {
    let mut row = vec!["all".to_owned(), "-".to_owned()];
    row.extend(figures([at(all, &["before"]), at(all, &["now"])], all));
    row
}

fn figures([before, now]: [Option<&Value>; 2], saved: &Value) -> [String; 8] {
    [
        rate(before, "requests_per_s"),
        rate(now, "requests_per_s"),
        rate(before, "queries_per_s"),
        rate(now, "queries_per_s"),
        rate(now, "messages_per_s"),
        money(before, "per_month"),
        money(now, "per_month"),
        money(Some(saved), "saved_per_month"),
    ]
}

fn rate(cost: Option<&Value>, name: &str) -> String {
    let rate = cost.and_then(|cost| cost.get(name)?.as_f64());
    rate.map_or_else(|| "?".to_owned(), |rate| format!("{rate:.3}"))
}

fn money(of: Option<&Value>, name: &str) -> String {
    let amount = of.and_then(|of| of.get(name)?.as_f64());
    amount.map_or_else(|| "?".to_owned(), |amount| format!("{amount:.2}"))
}

fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

fn lines(value: &Value, member: &str) -> Vec<String> {
    list(value, member).map(line).collect()
}

fn list<'v>(value: &'v Value, member: &str) -> std::slice::Iter<'v, Value> {
    value
        .get(member)
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice)
        .iter()
}
