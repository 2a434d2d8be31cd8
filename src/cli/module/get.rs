//! `changeover module get`: one module, once, again and again, or when it has come to something.

use std::time::Duration;

use clap::Args;

use super::{
    looking::{Looking, Seen},
    page::Page,
    reading::Reading,
    unless_remembered,
    until::{self, Condition},
    view::ModuleView,
    waiting::{self, Goal},
    watching,
};
use crate::{
    cli::{
        Failure, Format, Globals,
        output::say,
        screen::{self, Surface},
    },
    domain::ModuleName,
};

/// What `module get` takes.
#[derive(Debug, Args)]
pub struct Get {
    /// Its name.
    module: ModuleName,
    /// Looks again each second: drawn in place on a terminal (`q` leaves), a line for each look otherwise.
    #[arg(long)]
    watch: bool,
    /// Waits until the module is `healthy`, or has come to `stage=STAGE` (asked for and in force), `requested=STAGE`,
    /// `effective=STAGE` or `gate=pass`. To be repeated: all of them.
    #[arg(long, value_name = "CONDITION", value_parser = until::parser(), hide_possible_values = true)]
    until: Vec<Condition>,
    /// How long to wait, e.g. `90s`, `5m` or `1h`.
    #[arg(long, requires = "until", default_value = "5m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// From which lag on a target is not healthy.
    #[arg(long, requires = "until", default_value = "5s", value_parser = humantime::parse_duration)]
    max_lag: Duration,
    #[command(flatten)]
    reading: Reading,
}

impl Get {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let client = self.reading.remote.client(globals)?;
        let looking = Looking {
            client: &client,
            module: self.module.as_str(),
        };
        let goal = (!self.until.is_empty()).then_some(Goal {
            conditions: self.until,
            max_lag: self.max_lag,
            within: self.timeout,
        });
        let format = self.reading.output.format();
        let seen = match (self.watch, &goal) {
            (true, _) => {
                let watched = watching::run(&looking, goal.as_ref(), self.reading.output).await?;
                let Some(reached) = watched else {
                    return Ok(());
                };
                reached
            }
            (false, Some(goal)) => waiting::run(&looking, goal).await?,
            (false, None) if format == Format::Json => {
                let answer = looking.answer().await?;
                say(answer.trim_end())?;
                let module = ModuleView::parse(&answer).unwrap_or_default();
                return unless_remembered(module.from_memory.as_ref());
            }
            (false, None) => {
                let seen = looking.once().await?;
                show(&seen, format)?;
                return unless_remembered(seen.module.from_memory.as_ref());
            }
        };
        Ok(show(&seen, format)?)
    }
}

fn show(seen: &Seen, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return say(seen.answer.trim_end());
    }
    let page = Page {
        module: &seen.module,
        acts: &seen.acts,
        series: &[],
    };
    let lines = page.lines(Surface::of_output().width);
    say(&screen::written(&lines))
}
