//! How the end of a module's polls is planned anew.

use crate::domain::{Brownouts, End, Members, Micros};

/// What is to change of a planned end. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replan {
    /// Takes back all that was planned, before anything else.
    pub clear: bool,
    /// When the polls are to end.
    pub at: Option<Micros>,
    /// All brown-outs.
    pub brownouts: Option<Brownouts>,
    /// The whole list of those whose polls are refused already.
    pub block: Option<Members>,
}

impl Replan {
    pub(super) fn apply(&self, end: &mut End) {
        if self.clear {
            *end = End::default();
        }
        if self.at.is_some() {
            end.at = self.at;
        }
        if let Some(brownouts) = &self.brownouts {
            end.brownouts.clone_from(brownouts);
        }
        if let Some(block) = &self.block {
            end.block.clone_from(block);
        }
    }
}
