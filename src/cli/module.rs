//! `changeover module …`: where each module stands on the ladder, and moving it.

use clap::{Args, Subcommand};
use serde_json::{Map, Number, Value, json};

use super::{
    Failure, Globals, Output,
    actor::Actor,
    client::{Client, Remote},
    module_tables as tables,
};
use crate::domain::{BasisPoints, Member, ModuleName, Stage};

/// The commands about modules.
#[derive(Debug, Subcommand)]
pub enum Module {
    /// All modules.
    List(Reading),
    /// One module.
    Get {
        /// Its name.
        module: ModuleName,
        #[command(flatten)]
        reading: Reading,
    },
    /// What was done to a module, the newest first.
    History {
        /// Its name.
        module: ModuleName,
        /// Most entries.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        reading: Reading,
    },
    /// One step forward.
    Promote {
        /// The module's name again: the step to `retired` asks for it, no other takes it.
        #[arg(long, value_name = "MODULE")]
        confirm: Option<String>,
        #[command(flatten)]
        act: Act,
    },
    /// Tells a share of the clients to take the push.
    Ramp {
        /// Share of the clients, 0 to 100, with at most two decimals. Needed unless a list is given.
        #[arg(long, required_unless_present_any = ["include", "exclude", "include_nobody", "exclude_nobody"])]
        percent: Option<BasisPoints>,
        /// Who takes the push whatever the share: client:ID, audience:NAME, agent:PATTERN or network:ADDRESS/BITS. To be repeated;
        /// replaces the whole list.
        #[arg(long, value_name = "WHO")]
        include: Vec<Member>,
        /// Who polls in any case, likewise; stronger than --include.
        #[arg(long, value_name = "WHO")]
        exclude: Vec<Member>,
        /// Empties the list of those who take the push whatever the share.
        #[arg(long, conflicts_with = "include")]
        include_nobody: bool,
        /// Empties the list of those who poll in any case.
        #[arg(long, conflicts_with = "exclude")]
        exclude_nobody: bool,
        #[command(flatten)]
        act: Act,
    },
    /// Back: one step, or to a given stage.
    Rollback {
        /// The stage to go back to.
        #[arg(long)]
        to: Option<Stage>,
        #[command(flatten)]
        act: Act,
    },
    /// Freezes the ladder of a module. The mirror goes on.
    Pause(Act),
    /// Ends a pause.
    Resume(Act),
    /// Tells a share of the clients to connect to another target. Both targets are fed in any case.
    Route {
        /// The target that they are told.
        #[arg(long)]
        target: String,
        /// Share of the clients, 0 to 100, with at most two decimals.
        #[arg(long, default_value = "100")]
        percent: BasisPoints,
        #[command(flatten)]
        act: Act,
    },
}

/// What a reading command takes.
#[derive(Debug, Clone, Args)]
pub struct Reading {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

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

impl Module {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        match self {
            Self::List(reading) => reading.show(globals, &[], &[], tables::modules).await,
            Self::Get { module, reading } => {
                let path = [module.as_str()];
                reading.show(globals, &path, &[], tables::module).await
            }
            Self::History {
                module,
                limit,
                reading,
            } => {
                let path = [module.as_str(), "history"];
                let query = [("limit", limit.to_string())];
                reading.show(globals, &path, &query, tables::history).await
            }
            Self::Promote { confirm, act } => {
                let confirm = confirm.map(|name| ("confirm", json!(name)));
                act.run(globals, "promote", confirm).await
            }
            Self::Ramp {
                percent,
                include,
                exclude,
                include_nobody,
                exclude_nobody,
                act,
            } => {
                let percent = percent.map(|share| ("percent", Value::Number(as_number(share))));
                let include = list(&include, include_nobody).map(|list| ("include", list));
                let exclude = list(&exclude, exclude_nobody).map(|list| ("exclude", list));
                let members = [percent, include, exclude].into_iter().flatten();
                act.run(globals, "ramp", members).await
            }
            Self::Rollback { to, act } => {
                let to = to.map(|stage| ("to", json!(stage.as_str())));
                act.run(globals, "rollback", to).await
            }
            Self::Pause(act) => act.run(globals, "pause", []).await,
            Self::Resume(act) => act.run(globals, "resume", []).await,
            Self::Route {
                target,
                percent,
                act,
            } => {
                let percent = ("percent", Value::Number(as_number(percent)));
                let target = ("target", Value::String(target));
                act.run(globals, "route", [target, percent]).await
            }
        }
    }
}

/// What a list becomes; `None` if nothing is said of it.
fn list(members: &[Member], nobody: bool) -> Option<Value> {
    let members: Vec<_> = members.iter().map(ToString::to_string).collect();
    (nobody || !members.is_empty()).then(|| json!(members))
}

/// `33.33`, not `33.330000000000005`.
fn as_number(percent: BasisPoints) -> Number {
    percent
        .to_string()
        .parse()
        .expect("a percentage is written as a JSON number")
}

impl Reading {
    async fn show(
        &self,
        globals: &Globals,
        path: &[&str],
        query: &[(&str, String)],
        table: fn(&Value) -> String,
    ) -> Result<(), Failure> {
        let client = self.remote.client(globals)?;
        let path = [&["admin", "v1", "modules"], path].concat();
        let answer = client.get(&path, query).await?;
        Ok(self.output.print(&answer, table)?)
    }
}

impl Act {
    async fn run(
        self,
        globals: &Globals,
        action: &str,
        extra: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Result<(), Failure> {
        let client: Client = self.reading.remote.client(globals)?;
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
