//! Log lines, by `tracing`.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::log::{Format, Log};

/// Starts logging to standard error. Only the first call in a process has an effect.
pub fn init(log: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(&log.filter).map_err(|error| error.to_string())?;
    let json = match log.format {
        Format::Json => true,
        Format::Text => false,
        Format::Auto => !io::stderr().is_terminal(),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // A second subscriber in one process happens in tests only, where the first one serves all.
    let _already_set = if json {
        lines.json().flatten_event(true).try_init()
    } else {
        lines.with_ansi(io::stderr().is_terminal()).try_init()
    };
    Ok(())
}
