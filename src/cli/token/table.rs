//! Tokens for eyes.

use serde_json::Value;

use crate::cli::{
    act_table::DRY,
    output::{cell, columns, time_cell},
};

/// A line for each.
pub(super) fn all(answer: &Value) -> String {
    let heads = ["ID", "NAME", "ROLES", "MODULES", "BY", "CREATED", "STATE"];
    let tokens = answer.get("tokens").and_then(Value::as_array);
    let row = |token: &Value| {
        vec![
            cell(token, "id"),
            cell(token, "name"),
            list(token, "roles"),
            list(token, "modules"),
            cell(token, "created_by"),
            time_cell(token, "created_at"),
            state(token),
        ]
    };
    let rows: Vec<_> = tokens.into_iter().flatten().map(row).collect();
    columns(&heads, &rows)
}

/// What became of one.
pub(super) fn done(what: &str, token: &Value) -> String {
    let is_dry = token.get("dry_run") == Some(&Value::Bool(true));
    let what = if is_dry {
        format!("would be {what} {DRY}")
    } else {
        what.to_owned()
    };
    let mut lines = vec![format!("{}: {what}", cell(token, "name"))];
    let of = list(token, "modules");
    let of = if of == "-" {
        String::new()
    } else {
        format!(", of {of}")
    };
    lines.push(format!("{}{of}, {}", list(token, "roles"), state(token)));
    if token.get("token").is_some_and(Value::is_string) {
        lines.push(String::new());
        lines.push(cell(token, "token"));
        lines.push(String::new());
        lines.push("It is not shown again. Revoke it by its id:".to_owned());
    }
    if !is_dry {
        lines.push(cell(token, "id"));
    }
    lines.join("\n")
}

fn list(token: &Value, member: &str) -> String {
    let texts = token.get(member).and_then(Value::as_array);
    let texts = texts.map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    texts.map_or_else(|| "-".to_owned(), |all| all.join(","))
}

fn state(token: &Value) -> String {
    let at = |member| time_cell(token, member);
    let is_there = |member| token.get(member).is_some_and(Value::is_string);
    let in_force = token.get("in_force") == Some(&Value::Bool(true));
    match (is_there("revoked_at"), is_there("expires_at")) {
        (true, _) => format!("revoked {}", at("revoked_at")),
        (false, true) if in_force => format!("until {}", at("expires_at")),
        (false, true) => format!("expired {}", at("expires_at")),
        (false, false) => "in force".to_owned(),
    }
}
