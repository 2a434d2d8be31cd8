//! Pruning: finding what may go, and letting it go in small transactions.
//!
//! The rules are the log's (`log::retention`); these calls are its steps on one database. Each reads or
//! deletes a bounded number of rows through an index.

use std::time::Duration;

use async_trait::async_trait;

use super::{Lease, Result};
use crate::domain::{ModuleName, Position};

/// How far one target has acknowledged one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetPosition {
    /// The target.
    pub target: String,
    /// The module.
    pub module: ModuleName,
    /// Everything up to here was acknowledged.
    pub position: Position,
}

/// A position, and how long ago it was numbered or marked, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aged {
    /// The position.
    pub position: Position,
    /// Its age.
    pub age: Duration,
}

/// What `module_head` promises about the rows below the head. Both only ever grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Bounds {
    /// The oldest position that the log promises to hold.
    pub retained_from: Position,
    /// Up to here a row may be missing because a later change of its key is there.
    pub compacted_through: Position,
}

/// An audit entry of an act on a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// How it was.
    pub before: serde_json::Value,
    /// How it is.
    pub after: serde_json::Value,
    /// Why.
    pub reason: String,
}

/// Which rows of a range are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those whose key has a later change.
    Superseded,
}

/// The first rows of a range of a log.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// The module.
    pub module: &'a ModuleName,
    /// From this position …
    pub from: Position,
    /// … up to this one.
    pub through: Position,
    /// Most rows that are looked at.
    pub limit: u32,
    /// Which of them are meant.
    pub which: Which,
}

/// What a window held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows that were looked at.
    pub seen: u64,
    /// Those that were meant.
    pub meant: u64,
    /// The last one looked at; `None` if the range holds no row.
    pub last: Option<Position>,
}

/// Finding and deleting. Reads lock nothing; deletes lock only the rows that go.
#[async_trait]
pub trait Retention {
    /// The cursors of all targets, configured or not.
    async fn target_positions(&self) -> Result<Vec<TargetPosition>>;

    /// The last position that was numbered longer than `age` ago.
    async fn last_older_than(&self, module: &ModuleName, age: Duration)
    -> Result<Option<Position>>;

    /// The first row above a position.
    async fn first_above(&self, module: &ModuleName, after: Position) -> Result<Option<Aged>>;

    /// Raises the bounds under the lease's token, in a transaction of its own, with an audit entry if one is
    /// given. `retained_from` never passes the head. [`super::Error::LeaseLost`] changes nothing.
    async fn raise_bounds(&self, lease: &Lease, bounds: Bounds, note: Option<&Note>) -> Result<()>;

    /// Counts the meant rows of a window.
    async fn count_rows(&self, window: Window<'_>) -> Result<Swept>;

    /// Deletes the meant rows of a window. The bounds must have been raised before.
    async fn delete_rows(&self, window: Window<'_>) -> Result<Swept>;

    /// The marks of a module, by position.
    async fn marks(&self, module: &ModuleName) -> Result<Vec<Aged>>;

    /// Marks that the log has reached `position` by now, and forgets the marks below `keep_from`.
    async fn mark(
        &self,
        module: &ModuleName,
        position: Position,
        keep_from: Position,
    ) -> Result<()>;

    /// Deletes at most `limit` tombstones of the state up to a position. Returns how many.
    async fn drop_tombstones(
        &self,
        module: &ModuleName,
        through: Position,
        limit: u32,
    ) -> Result<u64>;
}

/// `count, last position` of the rows that a window looks at.
pub(super) fn looked_at((seen, last): (i64, Option<i64>)) -> Swept {
    Swept {
        seen: seen.unsigned_abs(),
        meant: 0,
        last: last.map(Position::from_i64),
    }
}

/// `position, microseconds of age`.
pub(super) fn aged((position, micros): (i64, i64)) -> Aged {
    Aged {
        position: Position::from_i64(position),
        age: Duration::from_micros(u64::try_from(micros).unwrap_or(0)),
    }
}
