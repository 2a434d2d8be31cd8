//! `[auth]`: who may call.

pub mod passes;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Problems;

/// Who may call. Without callers everyone is open: whoever says `uid=…` is believed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Lets a public listener or an embedded broker leave loopback although every caller is open.
    pub open_i_understand: bool,
    /// The keys that sign what clients enter brokers with.
    pub passes: passes::Passes,
    /// Where the first token of the private listener is, or is written to; empty = nowhere.
    pub admin_token_file: PathBuf,
    /// Tokens in force.
    pub max_tokens: u32,
    /// Whether `/metrics` asks for no token; absent = it does not while the private listener is on loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_open: Option<bool>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            open_i_understand: false,
            passes: passes::Passes::default(),
            admin_token_file: PathBuf::from("data/admin.token"),
            max_tokens: 1_000,
            metrics_open: None,
        }
    }
}

impl Auth {
    /// Where the first token is, if it is in a file.
    pub fn admin_token_file(&self) -> Option<&Path> {
        let file = self.admin_token_file.as_path();
        (!file.as_os_str().is_empty()).then_some(file)
    }

    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let tokens = &format!("{path}.max_tokens");
        problems.bound(tokens, self.max_tokens, 1, 100_000);
        if let Some(file) = self.admin_token_file()
            && file.file_name().is_none()
        {
            problems.push(
                format!("{path}.admin_token_file"),
                "must be the path of a file, such as \"data/admin.token\", or \"\" for none",
            );
        }
    }
}
