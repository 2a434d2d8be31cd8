//! `changeover savings`: what each module cost before its clients moved, and costs now.

use anyhow::Context;
use clap::Args;

use super::{Failure, Globals, Output, client::Remote, savings_tables};
use crate::domain::ModuleName;

/// Which modules, over how long.
#[derive(Debug, Args)]
pub struct Savings {
    /// One module; without it, all of them.
    module: Option<ModuleName>,
    /// Over how many days "now" is taken, and nobody must have asked for a module that counts as unused.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

const PATH: [&str; 3] = ["admin", "v1", "savings"];

impl Savings {
    pub(super) async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let mut query = vec![("days", self.days.to_string())];
        query.extend(self.module.map(|module| ("module", module.to_string())));
        let answer = self.remote.client(globals)?.get(&PATH, &query).await?;
        let lines = |answer: &str, width| {
            let answer = serde_json::from_str(answer).context("the answer is not JSON")?;
            Ok(savings_tables::savings(&answer, width))
        };
        Ok(self.output.print_lines(&answer, lines)?)
    }
}
