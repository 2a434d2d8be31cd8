//! Who acts, and how acts are asked for.

use clap::Args;

/// What every act takes.
#[derive(Debug, Clone, Args)]
pub struct Actor {
    /// Why. It is told to the gateway with the act.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: String,
    /// For whom. The audit has it beside the name of the token, which is whom the gateway knows.
    #[arg(long = "actor", env = "USER", default_value = "unknown")]
    pub name: String,
    /// Runs every check and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
}

impl Actor {
    /// For what is asked in the manner of an act and changes nothing.
    pub(super) fn nobody() -> Self {
        Self {
            reason: String::new(),
            name: "unknown".to_owned(),
            dry_run: false,
        }
    }
}
