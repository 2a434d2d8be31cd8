//! `changeover target …`: the brokers that are fed, and acts on them.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure, Globals, Output,
    act_table::{self, Fact},
    actor::Actor,
    client::Remote,
    output::cell,
    screen::{self, Column, Line, Surface, Table},
};
use crate::domain::ModuleName;

/// The commands about targets.
#[derive(Debug, Subcommand)]
pub enum Target {
    /// Shows the targets, and how far each is with each module.
    List {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        output: Output,
    },
    /// Stops publishing to a target, on every replica and over restarts, until it is resumed.
    Pause(Act),
    /// Feeds a target again, from where it was.
    Resume {
        /// From the heads of the logs: what the target has not got is left out. A retired target needs it, unless
        /// each of its modules was replayed.
        #[arg(long)]
        at_head: bool,
        #[command(flatten)]
        act: Act,
    },
    /// Feeds a target no longer, and keeps nothing for it.
    Retire(Act),
    /// Tries modules that have halted again at once, and does not wait for `mirror.halt_retry_ms`.
    Retry(Act),
    /// Sends changes of a module again.
    Replay {
        /// The module.
        #[arg(long)]
        module: ModuleName,
        /// A cursor, or a position of the present epoch: what comes after it is sent.
        #[arg(long, value_name = "CURSOR")]
        from: String,
        #[command(flatten)]
        act: Act,
    },
}

/// What every act on a target takes.
#[derive(Debug, Clone, Args)]
pub struct Act {
    /// The target.
    #[arg(value_name = "NAME")]
    target: String,
    #[command(flatten)]
    actor: Actor,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

const PATH: [&str; 3] = ["admin", "v1", "targets"];

impl Target {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        match self {
            Self::List { remote, output } => {
                let answer = remote.client(globals)?.get(&PATH, &[]).await?;
                Ok(output.print(&answer, table)?)
            }
            Self::Pause(act) => act.run(globals, "pause", json!({})).await,
            Self::Resume { at_head: true, act } => {
                act.run(globals, "resume", json!({"at_head": true})).await
            }
            Self::Resume { act, .. } => act.run(globals, "resume", json!({})).await,
            Self::Retire(act) => act.run(globals, "retire", json!({})).await,
            Self::Retry(act) => act.run(globals, "retry", json!({})).await,
            Self::Replay { module, from, act } => {
                let body = json!({"module": module, "from": from});
                act.run(globals, "replay", body).await
            }
        }
    }
}

impl Act {
    async fn run(self, globals: &Globals, action: &str, mut body: Value) -> Result<(), Failure> {
        let client = self.remote.client(globals)?;
        body["reason"] = self.actor.reason.as_str().into();
        let path = [&PATH[..], &[self.target.as_str(), action]].concat();
        let answer = client.act(&path, &body, &self.actor, None).await?;
        Ok(self.output.print(&answer, |answer| done(action, answer))?)
    }
}

fn done(action: &str, answer: &Value) -> String {
    let side = |name| answer.get(name).unwrap_or(&Value::Null);
    let (before, after) = (side("before"), side("after"));
    let standing = [before, after].map(|side| cell(side, "standing"));
    let [before, standing] = standing;
    let cursors = after.get("cursors").and_then(Value::as_array);
    let notes = cursors.into_iter().flatten().map(|cursor| {
        let (module, at) = (cell(cursor, "module"), cell(cursor, "cursor"));
        let generation = cell(cursor, "generation");
        format!("{module}: from {at}, generation {generation}")
    });
    let facts = [Fact::new("standing", before, standing)];
    let is_dry = answer.get("dry_run") == Some(&Value::Bool(true));
    let what = format!("{}: {action}", cell(after, "target"));
    act_table::text(&what, is_dry, &facts, &notes.collect::<Vec<_>>())
}

/// The cursor is there to be given to `replay`.
const COLUMNS: [Column<'static>; 8] = [
    Column::needed("TARGET"),
    Column::needed("STANDING"),
    Column::needed("CONNECTED"),
    Column::needed("MODULE"),
    Column::needed("CURSOR").whole(),
    Column::needed("BEHIND"),
    Column::spare("GENERATION", 1),
    Column::needed("NOTE"),
];

/// A line per target and module.
fn table(answer: &Value) -> String {
    let targets = answer.get("targets").and_then(Value::as_array);
    let mut rows = Vec::new();
    for target in targets.into_iter().flatten() {
        let of_target = ["target", "standing", "connected"].map(|member| cell(target, member));
        let modules = target.get("modules").and_then(Value::as_array);
        for module in modules.into_iter().flatten() {
            let of_module = ["module", "cursor", "behind", "generation"];
            let halted = cell(module, "halted");
            let notes = [halted, cell(target, "trouble"), cell(target, "note")];
            let note = notes.into_iter().find(|note| note != "-");
            let note = note.unwrap_or_else(|| "-".to_owned());
            let mut row: Vec<_> = of_target.iter().map(Line::plain).collect();
            row.extend(of_module.map(|member| Line::plain(cell(module, member))));
            row.push(Line::plain(note));
            rows.push(row);
        }
    }
    let lines = Table::new(&COLUMNS, rows).lines(Surface::of_output().width);
    screen::written(&lines)
}
