//! `changeover token create`.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use super::{PATH, table};
use crate::{
    cli::{Failure, Globals, Output, actor::Actor, client::Remote},
    domain::ModuleName,
};

/// What makes a token.
#[derive(Debug, Args)]
pub struct Create {
    /// What it is to be good for; may be given again. An operator sees what a viewer sees, and an admin may do everything.
    #[arg(long, required = true, value_parser = ["viewer", "operator", "admin", "producer"])]
    role: Vec<String>,
    /// For a producer: the module that it may hand changes in for; may be given again. Without it, all.
    #[arg(long)]
    module: Vec<ModuleName>,
    /// Whose it will be, as the audit calls its bearer; without it, who makes it.
    #[arg(long = "name", id = "token_name", value_name = "NAME")]
    name: Option<String>,
    /// How long it is good, e.g. `90d`; without it, until it is revoked.
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    expires: Option<Duration>,
    #[command(flatten)]
    actor: Actor,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Create {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let client = self.remote.client(globals)?;
        let answer = client.act(&PATH, &self.body(), &self.actor, None).await?;
        Ok(self
            .output
            .print(&answer, |answer| table::done("made", answer))?)
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        let name = self.name.as_ref().unwrap_or(&self.actor.name);
        body.insert("name".to_owned(), json!(name));
        body.insert("roles".to_owned(), json!(self.role));
        body.insert("reason".to_owned(), json!(self.actor.reason));
        if !self.module.is_empty() {
            body.insert("modules".to_owned(), json!(self.module));
        }
        if let Some(span) = self.expires {
            body.insert("expires_in_s".to_owned(), json!(span.as_secs()));
        }
        Value::Object(body)
    }
}
