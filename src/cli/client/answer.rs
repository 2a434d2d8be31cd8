//! What a private listener answers, or that none does.

use reqwest::StatusCode;
use serde_json::Value;

/// Why a request has not done what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// No answer came.
    #[error("{what}")]
    Unreachable {
        /// Where it was looked for, and what may help.
        what: String,
        /// What the network says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is no success.
    #[error("{problem}")]
    Answered {
        /// Its status.
        status: StatusCode,
        /// What it says.
        problem: String,
    },
}

/// An answer.
pub(in crate::cli) struct Answer {
    /// Its status.
    pub(in crate::cli) status: StatusCode,
    /// Seconds of `Retry-After`.
    pub(in crate::cli) retry_after: Option<u64>,
    /// Its body.
    pub(in crate::cli) body: String,
}

impl Answer {
    /// What a problem document (RFC 9457) says; the status for any other body.
    pub(in crate::cli) fn problem(&self) -> String {
        let value: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let text = |member| value.get(member).and_then(Value::as_str);
        match (text("title"), text("detail")) {
            (Some(title), Some(detail)) => format!("{title}: {detail} ({})", self.status.as_u16()),
            (Some(one), None) | (None, Some(one)) => format!("{one} ({})", self.status.as_u16()),
            (None, None) => format!("the gateway answered {}", self.status),
        }
    }
}
