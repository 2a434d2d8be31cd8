//! What a client says that it has seen, and where an answer leaves it: in positions, or in time.

use crate::{
    domain::{Cursor, Micros, Tick},
    log::Since,
};

/// What a client has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    /// Everything up to a position.
    After(Since),
    /// Every tick before the one that begins here.
    From { at: Micros, tick: Tick },
}

impl Asked {
    /// Nothing yet.
    pub(super) const BEGINNING: Self = Self::After(Since::BEGINNING);

    /// The same client after an answer that held nothing.
    pub(super) fn past(self, reached: Reached) -> Self {
        match (self, reached) {
            (Self::After(since), Reached::Position(cursor)) => Self::After(Since {
                position: since.position.max(cursor.position),
                ..since
            }),
            (Self::From { at, tick }, Reached::Tick { at: reached, .. }) => Self::From {
                at: at.max(reached),
                tick,
            },
            (same, _) => same,
        }
    }

    /// Whether the client has sent back a token of ours.
    pub(super) const fn names_an_epoch(self) -> bool {
        matches!(self, Self::After(Since { epoch: Some(_), .. }))
    }
}

impl From<Since> for Asked {
    fn from(since: Since) -> Self {
        Self::After(since)
    }
}

impl From<Cursor> for Asked {
    fn from(cursor: Cursor) -> Self {
        Self::After(cursor.into())
    }
}

/// What a client has seen with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// Everything up to a position.
    Position(Cursor),
    /// Every tick before the one that begins at `at`; all before the one that begins at `open` are closed.
    Tick { at: Micros, open: Micros },
}

impl Reached {
    /// What may be taken for the gateway's time. A client that sends it back as its cursor misses
    /// nothing, so it is never later than what the answer has shown.
    pub(super) fn time(self, clock: Micros) -> Micros {
        match self {
            Self::Position(_) => clock,
            Self::Tick { at, open } => at.min(open),
        }
    }
}

impl From<Cursor> for Reached {
    fn from(cursor: Cursor) -> Self {
        Self::Position(cursor)
    }
}
