//! How large the parts of a change may be.

use serde::{Deserialize, Serialize};

/// Upper bounds of one change, in bytes of UTF-8 but for the depth. The `[limits]` section of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Audience.
    pub audience_bytes: usize,
    /// Entity key.
    pub key_bytes: usize,
    /// Change id.
    pub change_id_bytes: usize,
    /// Value, as JSON text.
    pub value_bytes: usize,
    /// Arrays and objects of a value within each other.
    pub value_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            audience_bytes: 64,
            key_bytes: 512,
            change_id_bytes: 128,
            value_bytes: 256 * 1024,
            value_depth: 100,
        }
    }
}
