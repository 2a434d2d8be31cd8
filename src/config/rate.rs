//! `[rate]`: how often one address, and one caller, may ask the public listener.

use serde::{Deserialize, Serialize};

use super::Problems;

/// How often one may ask.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rate {
    /// For each address; whoever is behind one router has one together.
    pub per_address: Allowance,
    /// For each caller that was recognized.
    pub per_caller: Allowance,
    /// Addresses, and callers, that are remembered at least.
    pub remembered: usize,
}

/// So many requests a second, and so many at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allowance {
    /// Requests a second in the long run; 0 = without a limit.
    pub per_second: u32,
    /// Requests that may come at once after a silence; 0 = as many as in a second.
    pub burst: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            per_address: Allowance::default(),
            per_caller: Allowance::default(),
            remembered: 100_000,
        }
    }
}

impl Rate {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        for (key, allowance) in [
            ("per_address", self.per_address),
            ("per_caller", self.per_caller),
        ] {
            allowance.validate(&format!("{path}.{key}"), problems);
        }
        let remembered = &format!("{path}.remembered");
        problems.bound(remembered, self.remembered, 100, 10_000_000);
    }
}

impl Allowance {
    fn validate(self, path: &str, problems: &mut Problems) {
        let per_second = &format!("{path}.per_second");
        problems.bound(per_second, u64::from(self.per_second), 0, 1_000_000);
        let burst = &format!("{path}.burst");
        problems.bound(burst, u64::from(self.burst), 0, 1_000_000);
        if self.per_second == 0 && self.burst > 0 {
            problems.push(burst, "says nothing while per_second is 0: set both");
        }
    }
}
