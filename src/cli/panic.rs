//! `changeover panic`: sends every client, or one module's, back to polling, and lets them go again.

use anyhow::anyhow;
use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    Failure, Globals, Output,
    act_table::DRY,
    actor::Actor,
    client::Remote,
    output::{cell, time_cell},
    screen::{self, Column, Line, Surface, Table, Tone},
};
use crate::domain::ModuleName;

/// What a panic takes.
#[derive(Debug, Args)]
pub struct Panic {
    /// The module; without it, all of them.
    module: Option<ModuleName>,
    /// Lifts it again: clients are told what engineers asked for.
    #[arg(long)]
    lift: bool,
    #[command(flatten)]
    actor: Actor,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Panic {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let client = self.remote.client(globals)?;
        let mut body = Map::new();
        body.insert("reason".to_owned(), json!(self.actor.reason));
        if let Some(module) = &self.module {
            body.insert("module".to_owned(), json!(module.as_str()));
        }
        let (path, body) = (["admin", "v1", "panic"], Value::Object(body));
        let answer = if self.lift {
            client.undo(&path, &body, &self.actor).await?
        } else {
            client.act(&path, &body, &self.actor, None).await?
        };
        self.output.print(&answer, table)?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        if answer.get("stored") == Some(&Value::Bool(false)) {
            let note = cell(&answer, "note");
            return Err(anyhow!("not stored: {note}").into());
        }
        Ok(())
    }
}

fn table(answer: &Value) -> String {
    let dry = answer.get("dry_run") == Some(&Value::Bool(true));
    let all = answer.get("after").and_then(Value::as_array);
    let all = all.map_or(&[][..], Vec::as_slice);
    let mut lines = vec![match (all.is_empty(), dry) {
        (true, false) => "no panic is in force".to_owned(),
        (true, true) => format!("no panic would be in force {DRY}"),
        (false, false) => "in force:".to_owned(),
        (false, true) => format!("would be in force {DRY}:"),
    }];
    if !all.is_empty() {
        let table = in_force(all).lines(Surface::of_output().width);
        lines.push(screen::written(&table));
    }
    if answer.get("note").is_some_and(Value::is_string) {
        lines.push(cell(answer, "note"));
    }
    lines.join("\n")
}

/// Panics, a line each.
pub(super) fn in_force(panics: &[Value]) -> Table<'static> {
    let row = |one: &Value| {
        let over = match one.get("module") {
            Some(Value::String(_)) => cell(one, "module"),
            _ => "all modules".to_owned(),
        };
        let mut row = vec![Line::of(Tone::Bad, over)];
        row.push(Line::plain(time_cell(one, "since")));
        row.extend(MEMBERS.map(|member| Line::plain(cell(one, member))));
        row
    };
    Table::new(&COLUMNS, panics.iter().map(row).collect())
}

const MEMBERS: [&str; 4] = ["by", "actor", "stored", "reason"];

const COLUMNS: [Column<'static>; 6] = [
    Column::needed("PANIC OVER"),
    Column::needed("SINCE").whole(),
    Column::spare("BY", 2),
    Column::needed("ACTOR"),
    Column::spare("STORED", 1),
    Column::needed("REASON"),
];
