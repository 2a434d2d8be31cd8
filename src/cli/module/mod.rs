//! `changeover module …`: where each module stands on the ladder, and moving it.

mod act;
mod act_table;
mod arguments;
mod gates;
mod get;
mod health;
mod history;
mod list_table;
mod looking;
mod page;
mod rates;
mod reading;
mod record;
#[cfg(test)]
mod tests;
mod until;
mod view;
mod waiting;
mod watching;
mod words;

use clap::Subcommand;
use serde_json::{Value, json};

use self::{
    act::Act,
    arguments::{as_number, end_of_polls, list, stage},
    reading::Reading,
    view::{Entry, FromMemory, ModuleView},
};
use super::{Failure, Globals};
use crate::domain::{BasisPoints, Brownout, Member, ModuleName, Stage};

/// The commands about modules.
#[derive(Debug, Subcommand)]
pub enum Module {
    /// All modules.
    List(Reading),
    /// One module: once, with --watch again and again, with --until when it has come to something.
    Get(get::Get),
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
    /// Whether a module may take its next step: what is asked, with figures.
    Gates(gates::Gates),
    /// One step forward.
    Promote {
        /// The module's name again: the step to `retired` asks for it, no other takes it.
        #[arg(long, value_name = "MODULE")]
        confirm: Option<String>,
        /// Takes the step although its gate does not pass. The audit says which checks were overridden.
        #[arg(long)]
        force: bool,
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
        /// Takes the step although its gate does not pass. The audit says which checks were overridden.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        act: Act,
    },
    /// Plans the end of the polls; from ramp also the step to sunset.
    Sunset {
        /// When they are to end, e.g. `2027-03-01` or `2027-03-01T08:00:00Z`.
        #[arg(long, value_parser = end_of_polls, required_unless_present_any = ["brownout", "block", "clear"])]
        at: Option<String>,
        /// A time in UTC in which they are refused, e.g. `tue 10:00-10:15`, `daily 10:00-10:15` or `2027-02-01 10:00-10:15`. To be
        /// repeated; replaces all of them.
        #[arg(long, value_name = "WHEN")]
        brownout: Vec<Brownout>,
        /// Whose polls are refused already: client:ID, audience:NAME, agent:PATTERN or network:ADDRESS/BITS. To be repeated; replaces
        /// the whole list.
        #[arg(long, value_name = "WHO")]
        block: Vec<Member>,
        /// Takes back all that was planned, before anything else.
        #[arg(long)]
        clear: bool,
        /// Takes the step although its gate does not pass. The audit says which checks were overridden.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        act: Act,
    },
    /// Back: one step, or to a given stage.
    Rollback {
        /// The stage to go back to.
        #[arg(long, value_parser = stage())]
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

impl Module {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        match self {
            Self::List(reading) => {
                let lines = |answer: &str, width| {
                    let modules = ModuleView::parse_all(answer)?;
                    Ok(list_table::lines(&modules, width))
                };
                let answer = reading.show(globals, &[], &[], lines).await?;
                let modules = ModuleView::parse_all(&answer).unwrap_or_default();
                unless_remembered(list_table::remembered(&modules))
            }
            Self::Get(get) => get.run(globals).await,
            Self::History {
                module,
                limit,
                reading,
            } => {
                let path = [module.as_str(), "history"];
                let query = [("limit", limit.to_string())];
                let lines = |answer: &str, width| {
                    let entries = Entry::parse_all(answer)?;
                    Ok(history::lines(&entries, width))
                };
                reading.show(globals, &path, &query, lines).await?;
                Ok(())
            }
            Self::Gates(gates) => gates.run(globals).await,
            Self::Promote {
                confirm,
                force,
                act,
            } => {
                let confirm = confirm.map(|name| ("confirm", json!(name)));
                let members = confirm.into_iter().chain(forced(force));
                act.run(globals, "promote", members).await
            }
            Self::Ramp {
                percent,
                include,
                exclude,
                include_nobody,
                exclude_nobody,
                force,
                act,
            } => {
                let percent = percent.map(|share| ("percent", Value::Number(as_number(share))));
                let include = list(&include, include_nobody).map(|list| ("include", list));
                let exclude = list(&exclude, exclude_nobody).map(|list| ("exclude", list));
                let members = [percent, include, exclude].into_iter().flatten();
                let members = members.chain(forced(force));
                act.run(globals, "ramp", members).await
            }
            Self::Sunset {
                at,
                brownout,
                block,
                clear,
                force,
                act,
            } => {
                let at = at.map(|at| ("at", json!(at)));
                let brownouts = list(&brownout, false).map(|list| ("brownouts", list));
                let block = list(&block, false).map(|list| ("block", list));
                let clear = clear.then_some(("clear", json!(true)));
                let members = [at, brownouts, block, clear].into_iter().flatten();
                let members = members.chain(forced(force));
                act.run(globals, "sunset", members).await
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

/// What was shown is all that is known, and not all that was asked for.
fn unless_remembered(memory: Option<&FromMemory>) -> Result<(), Failure> {
    match memory {
        Some(memory) => Err(Failure::FromMemory(memory.why.clone())),
        None => Ok(()),
    }
}

fn forced(force: bool) -> Option<(&'static str, Value)> {
    force.then_some(("force", json!(true)))
}
