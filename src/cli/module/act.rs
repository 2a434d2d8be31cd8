//! What an act on a module takes, and how it is asked for.

use clap::Args;
use serde_json::{Map, Value, json};

use super::{reading::Reading, tables};
use crate::{
    cli::{Failure, Globals, actor::Actor},
    domain::ModuleName,
};

/// What an act on a module takes.
#[derive(Debug, Clone, Args)]
pub struct Act {
    /// The module.
    module: ModuleName,
    #[command(flatten)]
    actor: Actor,
    /// Act only if the module's flags are still at this version.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<i64>,
    #[command(flatten)]
    reading: Reading,
}

impl Act {
    pub(super) async fn run(
        self,
        globals: &Globals,
        action: &str,
        extra: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Result<(), Failure> {
        let client = self.reading.remote.client(globals)?;
        let mut body = Map::new();
        body.insert("reason".to_owned(), json!(self.actor.reason));
        let extra = extra.into_iter();
        body.extend(extra.map(|(name, value)| (name.to_owned(), value)));
        let path = ["admin", "v1", "modules", self.module.as_str(), action];
        let answer = client
            .act(&path, &Value::Object(body), &self.actor, self.if_version)
            .await?;
        Ok(self.reading.output.print(&answer, tables::act)?)
    }
}
