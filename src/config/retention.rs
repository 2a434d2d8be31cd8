//! `[retention]`: how logs are pruned; `modules[].retention` says what each of them keeps.

use serde::{Deserialize, Serialize};

use super::{Problems, span::Span};

/// Rhythm and bounds of the pruning, for all modules.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// How old a change may get that a target has not acknowledged, before it is pruned all the same.
    pub force_after: Span,
    /// How long the state keeps deleted keys.
    pub tombstone_age: Span,
    /// Pause between two looks at what may go.
    pub tick_ms: u64,
    /// Most rows that one transaction looks at or deletes.
    pub batch: u32,
    /// Pause between two such transactions.
    pub pause_ms: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            force_after: Span::from_secs(24 * 3_600),
            tombstone_age: Span::from_secs(30 * 24 * 3_600),
            tick_ms: 10_000,
            batch: 1_000,
            pause_ms: 20,
        }
    }
}

impl Retention {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let force = &format!("{path}.force_after");
        problems.bound_span(force, self.force_after, "1s", "3650d");
        let tombstones = &format!("{path}.tombstone_age");
        problems.bound_span(tombstones, self.tombstone_age, "1s", "3650d");
        problems.bound(&format!("{path}.tick_ms"), self.tick_ms, 10, 3_600_000);
        problems.bound(&format!("{path}.batch"), self.batch, 1, 100_000);
        problems.bound(&format!("{path}.pause_ms"), self.pause_ms, 0, 60_000);
    }
}

/// What a module's log keeps. A change goes when either bound says so; without both none goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kept {
    /// Changes younger than this.
    pub age: Option<Span>,
    /// So many of the newest positions.
    pub changes: Option<u64>,
}

impl Kept {
    /// What a module keeps that does not say.
    pub const DEFAULT: Self = Self {
        age: Some(Span::from_secs(7 * 24 * 3_600)),
        changes: None,
    };

    /// Everything, for ever.
    pub const EVERYTHING: Self = Self {
        age: None,
        changes: None,
    };

    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        if let Some(age) = self.age {
            problems.bound_span(&format!("{path}.age"), age, "1s", "3650d");
        }
        if let Some(changes) = self.changes {
            problems.bound(&format!("{path}.changes"), changes, 1, 1 << 40);
        }
    }
}
