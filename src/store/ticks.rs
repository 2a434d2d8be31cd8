//! Time cursors: closing ticks, and finding where one begins.
//!
//! Invariant: `module_head.sequenced_through` only grows, and no later row gets a smaller
//! `sequenced_at`; so every tick below it is closed.

use async_trait::async_trait;

use super::{Lease, Result};
use crate::domain::{Audience, Epoch, Micros, ModuleName, Position};

/// A module whose ticks are to be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// The lease under which it may be done.
    pub lease: Lease,
    /// Up to here at least; up to the database's time anyhow.
    pub through: Micros,
}

/// How far a module's ticks are closed. Position and time are of one moment: rows above the one have
/// no time below the other, whatever happens later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The module.
    pub module: ModuleName,
    /// Its epoch.
    pub epoch: Epoch,
    /// The last position given.
    pub head: Position,
    /// No later row has a smaller `sequenced_at`.
    pub through: Micros,
    /// The database's time.
    pub now: Micros,
}

/// Where the rows from a tick on begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickBounds {
    /// Epoch of the log.
    pub epoch: Epoch,
    /// The oldest promised position.
    pub retained_from: Position,
    /// Rows from the tick on are above this position; without such rows it is the head.
    pub after: Position,
    /// When the oldest promised row was numbered, if there is one.
    pub oldest: Option<Micros>,
    /// Where the times of the state end that a new epoch gave it: a cursor up to here is answered from the
    /// state. Zero if that never happened.
    pub lost_through: Micros,
}

/// A read of the state of some audiences of one module by time.
#[derive(Debug, Clone, Copy)]
pub struct StateTicks<'a> {
    /// The module.
    pub module: &'a ModuleName,
    /// The audiences, without repeats.
    pub audiences: &'a [Audience],
    /// Items numbered at this time or later …
    pub from: Micros,
    /// … and before this one.
    pub before: Micros,
    /// Most items.
    pub limit: u32,
}

/// Closing ticks. Uses the numbering connection and its time-outs.
#[async_trait]
pub trait Ticks {
    /// Raises `sequenced_through` of the modules whose lease holds to the database's time, or to what is
    /// asked for if that is later. Returns how far each is closed.
    async fn close_ticks(&self, closing: &[Closing]) -> Result<Vec<Closed>>;
}
