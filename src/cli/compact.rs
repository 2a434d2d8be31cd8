//! `changeover compact`: prunes and compacts now, or says what that would do.

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Value, json};

use super::{
    Failure, Globals, Output,
    actor::Actor,
    client::{Client, Remote},
    output::{cell, columns},
};
use crate::domain::ModuleName;

/// What the command takes.
#[derive(Debug, Clone, Args)]
pub struct Compact {
    /// The module; without it, all modules one after the other.
    module: Option<ModuleName>,
    /// Why. It is told to the gateway with the act.
    #[arg(long, required_unless_present = "dry_run", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// Who. It is told to the gateway with the act.
    #[arg(long = "actor", env = "USER", default_value = "unknown")]
    name: String,
    /// Says how many rows would go, up to which position, and what holds back more. Changes nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

const MODULES: [&str; 3] = ["admin", "v1", "modules"];

impl Compact {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let client = self.remote.client(globals)?;
        let actor = Actor {
            reason: self.reason.unwrap_or_default(),
            name: self.name,
            dry_run: self.dry_run,
        };
        if let Some(module) = self.module {
            let path = [&MODULES[..], &[module.as_str(), "compact"]].concat();
            let body = json!({"reason": actor.reason});
            let answer = client.act(&path, &body, &actor, None).await?;
            let answer: Value = serde_json::from_str(&answer).context("the answer is not JSON")?;
            let answer = json!({"modules": [answer]}).to_string();
            return Ok(self.output.print(&answer, table)?);
        }
        let modules = names(&client).await?;
        let (mut answers, mut refused) = (Vec::with_capacity(modules.len()), Vec::new());
        for module in &modules {
            match one(&client, module, &actor).await? {
                Done::Answered(answer) => answers.push(answer),
                Done::Refused(why) => refused.push(format!("module {module}: {why}")),
            }
        }
        if !answers.is_empty() {
            let answer = json!({"modules": answers}).to_string();
            self.output.print(&answer, table)?;
        }
        all_done(&refused, modules.len())
    }
}

/// What came of one module.
enum Done {
    Answered(Value),
    /// Not by this replica, or not now: the others go on.
    Refused(String),
}

/// What was not done stands at the end, where it is seen.
fn all_done(refused: &[String], asked: usize) -> Result<(), Failure> {
    if refused.is_empty() {
        return Ok(());
    }
    let (of, which) = (refused.len(), refused.join("\n"));
    Err(anyhow!("{of} of {asked} modules were not done:\n{which}").into())
}

async fn one(client: &Client, module: &str, actor: &Actor) -> anyhow::Result<Done> {
    let path = [&MODULES[..], &[module, "compact"]].concat();
    let body = json!({"reason": actor.reason});
    let answer = client.try_act(&path, &body, actor, None).await?;
    if !answer.status.is_success() {
        return Ok(Done::Refused(answer.problem()));
    }
    let answer = serde_json::from_str(&answer.body).context("the answer is not JSON")?;
    Ok(Done::Answered(answer))
}

async fn names(client: &Client) -> anyhow::Result<Vec<String>> {
    let answer = client.get(&MODULES, &[]).await?;
    let answer: Value = serde_json::from_str(&answer).context("the answer is not JSON")?;
    let modules = answer.get("modules").and_then(Value::as_array);
    let name = |module: &Value| Some(module.get("module")?.as_str()?.to_owned());
    Ok(modules
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .filter_map(name)
        .collect())
}

fn table(answer: &Value) -> String {
    let heads = [
        "MODULE",
        "PRUNED",
        "THROUGH",
        "SUPERSEDED",
        "THROUGH",
        "HELD BACK BY",
        "BEHIND",
        "LAG MS",
        "",
    ];
    let row = |module: &Value| {
        let held = module.get("held_back").unwrap_or(&Value::Null);
        vec![
            cell(module, "module"),
            cell(module, "pruned"),
            cell(module, "pruned_through"),
            cell(module, "superseded"),
            cell(module, "superseded_through"),
            cell(held, "target"),
            cell(held, "behind"),
            cell(held, "lag_ms"),
            remark(module).to_owned(),
        ]
    };
    let modules = answer.get("modules").and_then(Value::as_array);
    let rows: Vec<_> = modules.into_iter().flatten().map(row).collect();
    columns(&heads, &rows)
}

fn remark(module: &Value) -> &'static str {
    let is = |member| module.get(member) == Some(&Value::Bool(true));
    match (is("dry_run"), is("complete")) {
        (true, true) => "(dry run, nothing was changed)",
        (true, false) => "(dry run, nothing was changed; there are more)",
        (false, true) => "",
        (false, false) => "(goes on in the background)",
    }
}
