//! What is found in a configuration that a test writes down.

use super::{Config, Problems};

/// What `look` finds in this text, which can be read.
pub(super) fn found(toml: &str, look: impl FnOnce(&Config, &mut Problems)) -> Problems {
    let config = toml::from_str(toml).unwrap();
    let mut findings = Problems::new();
    look(&config, &mut findings);
    findings
}
