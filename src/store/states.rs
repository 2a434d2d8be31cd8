//! Whether the state per key is whole, and making it whole again.
//!
//! Invariants: the numbering transaction that writes changes without state writes down where they begin
//! (`module_head.stateless_from`), so nothing is missing in a state without being known; a state that is not whole is not
//! read; and it is mended under the lock that numbering takes first, so that nobody numbers meanwhile.

use async_trait::async_trait;

use super::{Error, Result};
use crate::domain::{ModuleName, Position};

/// What became of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mended {
    /// It is whole now; so many keys were written for it.
    Whole {
        /// Keys written.
        keys: u64,
    },
    /// The log does not hold everything any more that the state lacks: it was pruned, or a new epoch began.
    Lost,
}

/// A module's state lags behind its log if changes were numbered while `modules[].state` was off.
#[async_trait]
pub trait States {
    /// Brings into the state what it lacks, from the log, in transactions of a bounded number of positions; keys
    /// that are newer already stay. Whoever holds the lease may number between two of them.
    async fn mend_state(&self, module: &ModuleName) -> Result<Mended>;
}

/// Positions that one transaction mends. Numbering waits as long, so it is far less than half a lease's work.
const POSITIONS: u64 = 2_000;

/// What a module's state lacks, read under the lock of its head row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// Nothing.
    None,
    /// More than the log can tell.
    Lost,
    /// Everything from one position on. The next transaction mends a part of it.
    Open(Part),
}

/// A part of a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) from: Position,
    pub(super) through: Position,
    /// What is to become of `stateless_from`.
    pub(super) then: Position,
}

impl Gap {
    /// From the columns `head, retained_from, stateless_from`. A module without a head row has an empty log.
    pub(super) fn new(columns: Option<(i64, i64, i64)>) -> Self {
        let Some((head, retained_from, from)) = columns else {
            return Self::None;
        };
        let [head, retained_from, from] = [head, retained_from, from].map(Position::from_i64);
        if from == Position::ZERO {
            return Self::None;
        }
        // A new epoch begins above everything, so what is missing of an epoch before lies below it too.
        if from < retained_from {
            return Self::Lost;
        }
        let through = head.min(Position::new(from.get().saturating_add(POSITIONS - 1)));
        let then = if through == head {
            Position::ZERO
        } else {
            through.next()
        };
        Self::Open(Part {
            from,
            through,
            then,
        })
    }

    /// How mending ended with the transaction that found this, if it did; `keys` were written in all.
    pub(super) fn outcome(self, keys: u64) -> Option<Mended> {
        match self {
            Self::None => Some(Mended::Whole { keys }),
            Self::Lost => Some(Mended::Lost),
            Self::Open(part) => (part.then == Position::ZERO).then_some(Mended::Whole { keys }),
        }
    }
}

/// Whether a state may be read that lacks everything from a position on. To be asked before the rows: what is numbered
/// without state after that lies above every cursor that the reader has taken.
pub(super) fn must_be_whole(module: &ModuleName, stateless_from: Option<i64>) -> Result<()> {
    match stateless_from {
        None | Some(0) => Ok(()),
        Some(_) => Err(Error::StateNotWhole {
            module: module.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(from: u64, through: u64, then: u64) -> Gap {
        let [from, through, then] = [from, through, then].map(Position::new);
        Gap::Open(Part {
            from,
            through,
            then,
        })
    }

    #[test]
    fn a_gap_is_mended_in_parts() {
        assert_eq!(Gap::new(None), Gap::None);
        assert_eq!(Gap::new(Some((9, 4, 0))), Gap::None);
        assert_eq!(Gap::new(Some((9, 4, 3))), Gap::Lost);
        assert_eq!(Gap::new(Some((9, 4, 4))), part(4, 9, 0));
        assert_eq!(Gap::new(Some((2_000, 1, 1))), part(1, 2_000, 0));
        assert_eq!(Gap::new(Some((2_001, 1, 1))), part(1, 2_000, 2_001));
        assert_eq!(Gap::new(Some((2_001, 1, 2_001))), part(2_001, 2_001, 0));
        let outcome = |columns| Gap::new(Some(columns)).outcome(7);
        assert_eq!(outcome((2_001, 1, 1)), None);
        assert_eq!(outcome((2_000, 1, 1)), Some(Mended::Whole { keys: 7 }));
        assert_eq!(outcome((9, 4, 3)), Some(Mended::Lost));
    }
}
