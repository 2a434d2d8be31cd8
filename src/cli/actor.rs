//! Who acts, and how acts are asked for.

use clap::Args;

/// What every act takes.
#[derive(Debug, Clone, Args)]
pub struct Actor {
    /// Why; it goes into the audit.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: String,
    /// Who; it goes into the audit.
    #[arg(long = "actor", env = "USER", default_value = "unknown")]
    pub name: String,
    /// Runs every check and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
}
