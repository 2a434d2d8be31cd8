//! `[log]`: what the process says on standard error.

use serde::{Deserialize, Serialize};

use super::Problems;

/// Log output.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Text or JSON; `auto` is text on a terminal and JSON otherwise.
    pub format: Format,
    /// Levels, in the notation of `tracing-subscriber`, e.g. `info,changeover::poll=debug`.
    pub filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: Format::Auto,
            filter: "info,mqtt5=error,rumqttc=error".to_owned(),
        }
    }
}

impl Log {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.filter) {
            problems.push(
                format!("{path}.filter"),
                format!(
                    "`{}` is no list of levels such as \"info,changeover::poll=debug\": {error}",
                    self.filter
                ),
            );
        }
    }
}
