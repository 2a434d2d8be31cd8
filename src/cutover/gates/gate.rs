//! All that is asked before a step.

use std::fmt;

use super::{Check, Verdict};
use crate::{
    domain::Stage,
    store::{Forced, StageRecord},
};

/// All that is asked before a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// The stage that the step leads to.
    pub step: Stage,
    /// What is asked, and the answers.
    pub checks: Vec<Check>,
    /// What stands in nobody's way and yet should be known.
    pub caveats: Vec<String>,
}

impl Gate {
    /// The worst answer. Without any it is not enough.
    pub fn verdict(&self) -> Verdict {
        let answers = self.checks.iter().map(|check| check.verdict);
        answers.max().unwrap_or(Verdict::NotEnoughData)
    }

    /// Whether every check passes.
    pub fn passes(&self) -> bool {
        self.verdict() == Verdict::Pass
    }

    /// The checks that do not pass.
    pub fn unmet(&self) -> impl Iterator<Item = &Check> {
        let checks = self.checks.iter();
        checks.filter(|check| check.verdict != Verdict::Pass)
    }

    /// What is remembered when somebody takes the step all the same; nothing if all checks pass.
    pub(in crate::cutover) fn overridden(&self, after: &StageRecord) -> Option<Forced> {
        (!self.passes()).then(|| Forced {
            step: self.step,
            by: after.changed_by.clone(),
            reason: after.reason.clone(),
            checks: self.unmet().map(Check::label).collect(),
        })
    }
}

/// What does not pass, one after the other.
impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unmet: Vec<_> = self.unmet().map(Check::to_string).collect();
        f.write_str(&unmet.join("; "))
    }
}
