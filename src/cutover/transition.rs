//! Where a module may go from where it is.
//!
//! Invariant: a [`Transition`] exists only if the ladder allows it: one stage forward, or any number back, among the stages that the
//! module has. Nothing else makes one, and no other value changes a record's stage. What was overridden for a stage is forgotten with it.

use crate::{
    domain::Stage,
    store::{Entered, StageRecord},
};

/// The stages that a module has, from the first one on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ladder {
    first: Stage,
}

/// An allowed change of stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    to: Stage,
}

impl Ladder {
    /// Of a module whose legacy upstream can still answer.
    pub const WITH_UPSTREAM: Self = Self {
        first: Stage::Proxy,
    };

    /// Of a module that nobody but the gateway answers for.
    pub const WITHOUT_UPSTREAM: Self = Self {
        first: Stage::Mirror,
    };

    /// Whether a module on this ladder can be at a stage.
    pub fn has(self, stage: Stage) -> bool {
        stage >= self.first
    }

    /// One stage on; `None` at the end. A record below the ladder, whose module has lost its upstream, goes to the first stage.
    pub fn forward(self, from: Stage) -> Option<Transition> {
        let to = from.next()?.max(self.first);
        Some(Transition { to })
    }

    /// One stage back; `None` at the beginning.
    pub fn back(self, from: Stage) -> Option<Transition> {
        self.back_to(from, from.previous()?)
    }

    /// Back to an earlier stage; `None` if it is none, or not on the ladder.
    pub fn back_to(self, from: Stage, to: Stage) -> Option<Transition> {
        (to < from && self.has(to)).then_some(Transition { to })
    }
}

impl Transition {
    /// Where it leads.
    pub const fn to(self) -> Stage {
        self.to
    }

    pub(super) fn take(self, record: &mut StageRecord) {
        record.stage = self.to;
        record.entered = Entered::default();
    }
}
