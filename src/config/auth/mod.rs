//! `[auth]`: who may call.

pub mod passes;

use serde::{Deserialize, Serialize};

/// Who may call. Without callers everyone is open: whoever says `uid=…` is believed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Lets a public listener or an embedded broker leave loopback although every caller is open.
    pub open_i_understand: bool,
    /// The keys that sign what clients enter brokers with.
    pub passes: passes::Passes,
}
