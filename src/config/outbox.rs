//! `[outbox]`: the table that producers insert into.

use serde::{Deserialize, Serialize};

use super::{Problems, span::Span};

/// What becomes of rows that cannot be numbered, and of repeats.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outbox {
    /// How long a row of a module that no configuration names waits before it is parked: in a
    /// rolling deployment an old replica sees such rows before the new configuration.
    pub unknown_module_after: Span,
    /// How long a change id is remembered; absent = as long as the longest log is kept by age, at least
    /// seven days.
    pub dedup_window: Option<Span>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            unknown_module_after: Span::from_secs(3_600),
            dedup_window: None,
        }
    }
}

impl Outbox {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let unknown = &format!("{path}.unknown_module_after");
        problems.bound_span(unknown, self.unknown_module_after, "1s", "365d");
        if let Some(window) = self.dedup_window {
            problems.bound_span(&format!("{path}.dedup_window"), window, "1s", "3650d");
        }
    }
}
