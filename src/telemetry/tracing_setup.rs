//! Log lines, by `tracing`.
//!
//! Invariant: no filter makes a library write down what goes over a connection: there are passwords in it.

use std::io::{self, IsTerminal};

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt,
};

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
        let lines = lines.json().flatten_event(true).finish();
        lines.with(filter_fn(is_fit)).try_init()
    } else {
        let lines = lines.with_ansi(io::stderr().is_terminal()).finish();
        lines.with(filter_fn(is_fit)).try_init()
    };
    Ok(())
}

/// Whether somebody may ask for lines of this kind. The library of WebSocket writes each frame down, and in frames of MQTT there are passwords. It is
/// not a directive of the filter, which one that is more specific would take back.
fn is_fit(metadata: &Metadata<'_>) -> bool {
    tells_no_frames(metadata.target(), *metadata.level())
}

fn tells_no_frames(target: &str, level: Level) -> bool {
    let library = target.split("::").next().unwrap_or(target);
    level <= Level::INFO || !library.ends_with("tungstenite")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_to_nobody() {
        for target in [
            "tungstenite",
            "tungstenite::protocol::frame",
            "tokio_tungstenite::compat",
        ] {
            assert!(tells_no_frames(target, Level::WARN), "{target}");
            assert!(!tells_no_frames(target, Level::DEBUG), "{target}");
            assert!(!tells_no_frames(target, Level::TRACE), "{target}");
        }
        assert!(tells_no_frames("changeover::broker", Level::TRACE));
    }
}
