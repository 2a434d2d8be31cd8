//! `changeover outbox rejected …`: what could not be numbered, and what becomes of it.

use anyhow::Context;
use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure, Globals, Output,
    actor::Actor,
    client::{Client, Remote},
    output::{cell, columns},
};

/// The commands about the outbox.
#[derive(Debug, Subcommand)]
pub enum Outbox {
    /// Rows that could not be numbered.
    #[command(subcommand)]
    Rejected(Rejected),
}

/// The commands about parked rows.
#[derive(Debug, Subcommand)]
pub enum Rejected {
    /// Shows parked rows with their reasons.
    List {
        /// Only rows with a higher id.
        #[arg(long, default_value_t = 0)]
        after: i64,
        /// Most rows.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        output: Output,
    },
    /// Moves parked rows back to the end of the outbox.
    Retry(Act),
    /// Deletes parked rows.
    Drop(Act),
}

/// What an act on parked rows takes.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["ids", "all"]))]
pub struct Act {
    /// Ids of the rows.
    ids: Vec<i64>,
    /// All parked rows.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    actor: Actor,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

const PATH: [&str; 4] = ["admin", "v1", "outbox", "rejected"];

impl Outbox {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let Self::Rejected(rejected) = self;
        match rejected {
            Rejected::List {
                after,
                limit,
                remote,
                output,
            } => {
                let answer = page(&remote.client(globals)?, after, limit).await?;
                Ok(output.print(&answer, table)?)
            }
            Rejected::Retry(act) => act.run(globals, "retry").await,
            Rejected::Drop(act) => act.run(globals, "drop").await,
        }
    }
}

async fn page(client: &Client, after: i64, limit: u32) -> anyhow::Result<String> {
    let query = [("after", after.to_string()), ("limit", limit.to_string())];
    client.get(&PATH, &query).await
}

impl Act {
    async fn run(self, globals: &Globals, action: &str) -> Result<(), Failure> {
        let client = self.remote.client(globals)?;
        let which = if self.all {
            json!({"all": true, "reason": self.actor.reason})
        } else {
            json!({"ids": self.ids, "reason": self.actor.reason})
        };
        if self.actor.dry_run {
            return Ok(self.rehearse(&client).await?);
        }
        let path = [&PATH[..], &[action]].concat();
        let answer = client.act(&path, &which, &self.actor, None).await?;
        let done = |answer: &Value| format!("{}: {} rows", action, cell(answer, "rows"));
        Ok(self.output.print(&answer, done)?)
    }

    /// Counts the rows that the act would take. The API has no dry run for it.
    async fn rehearse(&self, client: &Client) -> anyhow::Result<()> {
        const PAGE: u32 = 1_000;
        let (mut after, mut rows) = (0, 0);
        loop {
            let answer = page(client, after, PAGE).await?;
            let ids = ids(&answer)?;
            rows += ids
                .iter()
                .filter(|id| self.all || self.ids.contains(id))
                .count();
            match ids.last() {
                Some(last) if *last > after => after = *last,
                _ => break,
            }
        }
        let answer = json!({"dry_run": true, "rows": rows});
        self.output.print(&answer.to_string(), |_| {
            format!("{rows} rows (dry run, nothing was changed)")
        })
    }
}

fn ids(answer: &str) -> anyhow::Result<Vec<i64>> {
    let answer: Value = serde_json::from_str(answer).context("the answer is not JSON")?;
    let rows = answer.get("rows").and_then(Value::as_array);
    let id = |row: &Value| row.get("id").and_then(Value::as_i64);
    Ok(rows
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .filter_map(id)
        .collect())
}

fn table(answer: &Value) -> String {
    let members = [
        "id",
        "module",
        "audience",
        "key",
        "op",
        "change_id",
        "reason",
    ];
    let row = |row: &Value| members.map(|member| cell(row, member)).to_vec();
    let rows = answer.get("rows").and_then(Value::as_array);
    let rows: Vec<_> = rows
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .map(row)
        .collect();
    columns(
        &[
            "ID",
            "MODULE",
            "AUDIENCE",
            "KEY",
            "OP",
            "CHANGE ID",
            "REASON",
        ],
        &rows,
    )
}
