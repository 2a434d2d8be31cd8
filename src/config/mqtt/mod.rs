//! `[mqtt]`: brokers and topics.

mod protocol;
mod target;
mod target_check;

use serde::{Deserialize, Serialize};

pub use protocol::Protocol;
pub use target::Target;

use super::Problems;

/// Topics and the brokers that the mirror feeds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mqtt {
    /// First part of every topic.
    pub topic_prefix: String,
    /// First part of the gateway's own MQTT client ids.
    pub client_id_prefix: String,
    /// The brokers; none = the embedded broker at `embedded://127.0.0.1:1883`.
    pub targets: Vec<Target>,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            topic_prefix: "changeover".to_owned(),
            client_id_prefix: "changeover".to_owned(),
            targets: Vec::new(),
        }
    }
}

/// The longest topic prefix: with module and audience a topic stays portable.
const TOPIC_PREFIX_BYTES: usize = 64;

/// The longest client id prefix.
const CLIENT_ID_PREFIX_BYTES: usize = 32;

impl Mqtt {
    /// The configured targets, or the embedded broker at its default address.
    pub fn effective_targets(&self) -> Vec<Target> {
        if self.targets.is_empty() {
            return vec![Target::default()];
        }
        self.targets.clone()
    }

    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        if let Err(why) = check_topic_prefix(&self.topic_prefix) {
            problems.push(format!("{path}.topic_prefix"), why);
        }
        let prefix = &self.client_id_prefix;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '@');
        if prefix.is_empty() || prefix.len() > CLIENT_ID_PREFIX_BYTES || !prefix.chars().all(plain)
        {
            problems.push(
                format!("{path}.client_id_prefix"),
                format!(
                    "must be 1 to {CLIENT_ID_PREFIX_BYTES} characters of A-Z, a-z, 0-9, `_`, `-` and `@`"
                ),
            );
        }
        self.validate_targets(&format!("{path}.targets"), problems);
    }

    fn validate_targets(&self, path: &str, problems: &mut Problems) {
        for (n, target) in self.targets.iter().enumerate() {
            target.validate(&format!("{path}[{n}]"), problems);
            if let Some(first) = self.targets[..n].iter().position(|t| t.name == target.name) {
                problems.push(
                    format!("{path}[{n}].name"),
                    format!(
                        "`{}` is already the name of {path}[{first}]",
                        target.name.escape_debug()
                    ),
                );
            }
        }
        if self.targets.is_empty() && !cfg!(feature = "embedded-broker") {
            problems.push(
                path,
                "none is configured, and this build has no embedded broker: name one with url = \"mqtt://host:1883\"",
            );
        }
    }
}

fn check_topic_prefix(prefix: &str) -> Result<(), &'static str> {
    if prefix.is_empty() || prefix.len() > TOPIC_PREFIX_BYTES {
        return Err("must have 1 to 64 bytes");
    }
    if prefix.contains(['+', '#']) {
        return Err("must not contain the wildcards `+` and `#`");
    }
    if prefix.split('/').any(str::is_empty) {
        return Err("must not begin or end with `/` or contain `//`");
    }
    if prefix.starts_with('$') {
        return Err("must not begin with `$`: brokers keep such topics for themselves");
    }
    if prefix.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    Ok(())
}
