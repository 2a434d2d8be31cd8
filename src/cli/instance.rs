//! `changeover instance …`: the processes that share the database.

use clap::Subcommand;
use serde_json::Value;

use super::{
    Failure, Globals, Output,
    client::Remote,
    output::{cell, columns, time_cell},
};

/// The commands about instances.
#[derive(Debug, Subcommand)]
pub enum Instance {
    /// Shows the processes that share the database, and how many modules each numbers and mirrors.
    List {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        output: Output,
    },
}

const PATH: [&str; 3] = ["admin", "v1", "instances"];

impl Instance {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let Self::List { remote, output } = self;
        let answer = remote.client(globals)?.get(&PATH, &[]).await?;
        Ok(output.print(&answer, table)?)
    }
}

fn table(answer: &Value) -> String {
    let heads = ["INSTANCE", "ALIVE", "MODULES", "SINCE", "HEARD", "EMBEDDED"];
    let row = |one: &Value| {
        vec![
            cell(one, "instance"),
            cell(one, "alive"),
            cell(one, "modules"),
            time_cell(one, "since"),
            time_cell(one, "heard_at"),
            cell(one, "embedded_target"),
        ]
    };
    let rows: Vec<_> = answer["instances"]
        .as_array()
        .into_iter()
        .flatten()
        .map(row)
        .collect();
    columns(&heads, &rows)
}
