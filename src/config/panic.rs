//! `[panic]`: sending every client back to polling.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Problems, span::Span};

/// How clients come back, and the file that sends them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Panic {
    /// Over what time the polls of clients that are on push arrive.
    pub spread: Span,
    /// While it exists, clients of this replica are told to poll; absent = no file is looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

impl Default for Panic {
    fn default() -> Self {
        Self {
            spread: Span::from_secs(30),
            file: None,
        }
    }
}

impl Panic {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        problems.bound_span(&format!("{path}.spread"), self.spread, "0s", "1h");
        if let Some(file) = &self.file
            && file.file_name().is_none()
        {
            problems.push(
                format!("{path}.file"),
                "must be the path of a file, such as \"/run/changeover/panic\"",
            );
        }
    }
}
