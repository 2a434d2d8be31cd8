//! `changeover epoch …`: a new epoch of a module's log.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure, Globals, Output,
    act_table::{self, Fact},
    actor::Actor,
    client::Remote,
    output::cell,
};
use crate::domain::ModuleName;

/// The commands about epochs.
#[derive(Debug, Subcommand)]
pub enum Epoch {
    /// Begins a new epoch, after an older copy of the database was restored and nobody could notice: every client
    /// reads its state anew.
    Bump(Bump),
}

/// What beginning an epoch takes.
#[derive(Debug, Args)]
pub struct Bump {
    /// The module.
    module: ModuleName,
    #[command(flatten)]
    actor: Actor,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Epoch {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let Self::Bump(bump) = self;
        let client = bump.remote.client(globals)?;
        let body = json!({"reason": bump.actor.reason});
        let path = ["admin", "v1", "modules", bump.module.as_str(), "epoch"];
        let answer = client.act(&path, &body, &bump.actor, None).await?;
        Ok(bump.output.print(&answer, table)?)
    }
}

fn table(answer: &Value) -> String {
    let fact = |name, member| {
        let side = |side| {
            answer
                .get(side)
                .map_or_else(String::new, |side| cell(side, member))
        };
        Fact::new(name, side("before"), side("after"))
    };
    let facts = [fact("epoch", "epoch"), fact("head", "head")];
    let is_dry = answer.get("dry_run") == Some(&Value::Bool(true));
    let what = format!("{}: new epoch", cell(answer, "module"));
    act_table::text(&what, is_dry, &facts, &[])
}

/// Where a log stands, as the admin API and the audit write it.
pub(super) fn mark(value: &Value) -> String {
    format!("epoch {} at {}", cell(value, "epoch"), cell(value, "head"))
}
