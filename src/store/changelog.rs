//! The change log and the state per key, as readers see them.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Result, StateTicks, TickBounds};
use crate::{
    domain::{Audience, Change, Cursor, Epoch, JsonText, Micros, ModuleName, Op, Position},
    telemetry::Purpose,
};

/// A module's row of `module_head`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The module.
    pub module: ModuleName,
    /// Its epoch.
    pub epoch: Epoch,
    /// The last position given.
    pub head: Position,
    /// The oldest position that the log still promises to hold.
    pub retained_from: Position,
    /// Up to here a row may be missing because a later change of its key is there.
    pub compacted_through: Position,
    /// The first position that the state lacks, because it was numbered while `modules[].state` was off. `None` if
    /// the state is whole.
    pub stateless_from: Option<Position>,
    /// No later row gets a smaller `sequenced_at`: ticks below it are closed.
    pub sequenced_through: Micros,
    /// Who held the lease last, if it was not given back.
    pub lease_holder: Option<String>,
    /// Whether the lease has expired or was given back, by the database's clock.
    pub lease_vacant: bool,
}

impl Head {
    /// The end of the log.
    pub const fn cursor(&self) -> Cursor {
        Cursor::new(self.epoch, self.head)
    }
}

/// A read of some audiences of one module.
#[derive(Debug, Clone)]
pub struct ChannelRead<'a> {
    /// The module.
    pub module: &'a ModuleName,
    /// The audiences, without repeats.
    pub audiences: &'a [Audience],
    /// Positions above this one …
    pub after: Position,
    /// … up to this one.
    pub through: Position,
    /// Most rows.
    pub limit: u32,
}

/// Rows of the log, and the bounds that were read after them.
#[derive(Debug, Clone)]
pub struct LogPage {
    /// By position.
    pub changes: Vec<Arc<Change>>,
    /// Epoch of the module when the rows had been read.
    pub epoch: Epoch,
    /// The oldest promised position when the rows had been read: with `after + 1` below it, rows may
    /// be missing.
    pub retained_from: Position,
}

/// The last change of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateItem {
    /// For whom.
    pub audience: Audience,
    /// The key.
    pub key: Box<str>,
    /// `delete` for a tombstone.
    pub op: Op,
    /// Where it stands in the log.
    pub position: Position,
    /// The value.
    pub value: JsonText,
}

/// Reading. No call locks anything.
#[async_trait]
pub trait ChangeLog {
    /// The heads of all modules in the database. `purpose` says who asks, for the metric.
    async fn heads(&self, purpose: Purpose) -> Result<Vec<Head>>;

    /// The heads of some modules; those without a head row are left out.
    async fn heads_of(&self, modules: &[ModuleName], purpose: Purpose) -> Result<Vec<Head>>;

    /// Rows of all audiences above each module's position, by module and position, at most `limit` per
    /// module, in one statement.
    async fn rows_after(
        &self,
        from: &[(ModuleName, Position)],
        limit: u32,
        purpose: Purpose,
    ) -> Result<Vec<(ModuleName, Arc<Change>)>>;

    /// Rows of the log for some audiences, by position. The bounds are read after the rows.
    async fn read_log(&self, read: ChannelRead<'_>, purpose: Purpose) -> Result<LogPage>;

    /// The state of some audiences, by position; tombstones only if asked for.
    /// [`super::Error::StateNotWhole`] if it lacks changes that were numbered before this call.
    async fn read_state(
        &self,
        read: ChannelRead<'_>,
        tombstones: bool,
        purpose: Purpose,
    ) -> Result<Vec<StateItem>>;

    /// Where a module's rows from a tick on begin, and whether the log still has them all. Everything
    /// is of one moment.
    async fn tick_bounds(
        &self,
        module: &ModuleName,
        from: Micros,
        purpose: Purpose,
    ) -> Result<TickBounds>;

    /// The state of some audiences by the time at which its items were numbered, tombstones included.
    /// [`super::Error::StateNotWhole`] as for [`ChangeLog::read_state`].
    async fn read_state_ticks(
        &self,
        read: StateTicks<'_>,
        purpose: Purpose,
    ) -> Result<Vec<(Micros, StateItem)>>;
}
