//! `changeover audit`: who did what on everything.

use clap::Args;
use serde_json::Value;

use super::{
    Failure, Globals, Output,
    client::Remote,
    output::{cell, columns, time_cell},
};

/// What is shown of the audit.
#[derive(Debug, Args)]
pub struct Audit {
    /// At most so many acts.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only acts before the one of this number, as `--output json` shows it under `id`.
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

const PATH: [&str; 3] = ["admin", "v1", "audit"];

impl Audit {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.before.map(|id| ("before", id.to_string())));
        let answer = self.remote.client(globals)?.get(&PATH, &query).await?;
        Ok(self.output.print(&answer, table)?)
    }
}

fn table(answer: &Value) -> String {
    let heads = ["AT", "ACTOR", "ACTION", "ON", "REASON"];
    let entries = answer.get("entries").and_then(Value::as_array);
    let row = |entry: &Value| {
        vec![
            time_cell(entry, "at"),
            cell(entry, "actor"),
            cell(entry, "action"),
            on(entry),
            cell(entry, "reason"),
        ]
    };
    let rows: Vec<_> = entries.into_iter().flatten().map(row).collect();
    columns(&heads, &rows)
}

/// What was acted on: a module, a target of it or of all, or a token by its name and id.
fn on(entry: &Value) -> String {
    let text = |value: &Value, member: &str| value.get(member)?.as_str().map(str::to_owned);
    let record = entry.get("after").unwrap_or(&Value::Null);
    let (module, target) = (text(entry, "module"), text(record, "target"));
    let token = || {
        Some(format!(
            "{} ({})",
            text(record, "name")?,
            text(record, "id")?
        ))
    };
    match (module, target) {
        (Some(module), Some(target)) => format!("{module} on {target}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => token().unwrap_or_else(|| "all modules".to_owned()),
    }
}
