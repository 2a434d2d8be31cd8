//! Numbering: the only reader of the outbox, and the only writer of the log.
//!
//! The rules are the sequencer's (`log::sequencer`); these calls are its steps on one database.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;

use super::{Error, Lease, Result};
use crate::domain::{Audience, Change, Cursor, Epoch, Micros, ModuleName, Position};

/// One look at the outbox.
#[derive(Debug, Clone)]
pub struct Scan<'a> {
    /// Rows of these modules; with [`Scan::except`] of all others.
    pub modules: &'a [ModuleName],
    /// Turns `modules` into the ones to leave out.
    pub except: bool,
    /// What it may leave out.
    pub beyond: Beyond,
    /// Most rows.
    pub rows: u32,
    /// Most bytes of texts; the first row always comes.
    pub bytes: usize,
}

/// What a look at the outbox may leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// Nothing.
    Nothing,
    /// Rows up to this id, whenever they are committed: good for seeing whether there is something, not for numbering.
    Id(i64),
    /// What earlier looks have had, and only that.
    Mark(Mark),
}

/// Everything up to an id that was written by transactions before another one: those have ended. Where rows up to here are
/// gone from the outbox none appears any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Ids up to here.
    pub id: i64,
    /// Transactions before this one, as the database numbers them.
    pub transaction: i64,
}

/// What a look at the outbox found.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// By id.
    pub rows: Vec<OutboxRow>,
    /// What later looks may leave out once these rows are gone; absent where the database does not tell rows by their
    /// transaction.
    pub mark: Option<Mark>,
}

/// An outbox row as bytes: what a producer of any language inserted, not judged yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Primary key.
    pub id: i64,
    /// Module.
    pub module: Vec<u8>,
    /// Audience; absent = `*`.
    pub audience: Option<Vec<u8>>,
    /// Entity key.
    pub key: Option<Vec<u8>>,
    /// Op; absent = `upsert`.
    pub op: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
    /// Change id.
    pub change_id: Option<Vec<u8>>,
    /// Microseconds since the Unix epoch; absent = now.
    pub occurred_at: Option<i64>,
}

/// What the fence of one module read, under its lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FencedHead {
    /// The module.
    pub module: ModuleName,
    /// Its epoch.
    pub epoch: Epoch,
    /// The last position given.
    pub head: Position,
    /// The oldest position that the log still holds, or the next one if it holds none.
    pub retained_from: Position,
    /// No later row may have a smaller `sequenced_at`.
    pub sequenced_through: Micros,
}

impl FencedHead {
    /// The end of the log.
    pub const fn cursor(&self) -> Cursor {
        Cursor::new(self.epoch, self.head)
    }
}

/// A change and the module whose log it belongs to.
#[derive(Debug, Clone)]
pub struct NumberedRow {
    /// The module.
    pub module: ModuleName,
    /// The change.
    pub change: Arc<Change>,
    /// Whether `entity_state` takes it: the last of its key in this batch, in a module that keeps
    /// state.
    pub state: bool,
}

/// A row to be parked instead of numbered.
#[derive(Debug, Clone)]
pub struct Parked {
    /// The row.
    pub row: OutboxRow,
    /// A stable word, a colon, an explanation.
    pub reason: String,
}

/// The new head of one module.
#[derive(Debug, Clone)]
pub struct HeadUpdate {
    /// The lease under which it may be written.
    pub lease: Lease,
    /// The last position given.
    pub head: Position,
    /// No later row gets a smaller `sequenced_at`; at least the last one given.
    pub sequenced_through: Micros,
    /// The first row that the batch holds of a module that keeps no state here: the state lacks it from now on.
    pub stateless_from: Option<Position>,
}

/// Everything that one numbering transaction writes.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Into the log, by module and position; those with a change id also into `change_seen`.
    pub rows: Vec<NumberedRow>,
    /// Into `outbox_rejected`.
    pub parked: Vec<Parked>,
    /// Out of the outbox: exactly these ids.
    pub delete: Vec<i64>,
    /// At last, under the fence; their leases are prolonged by the way.
    pub heads: Vec<HeadUpdate>,
}

/// Looking at the outbox, and beginning a numbering transaction. Both use a connection of their own whose
/// time-outs are half a lease.
#[async_trait]
pub trait Numbering {
    /// Whether no producer can commit while a batch is numbered: the database has one writer at a time.
    fn excludes_producers(&self) -> bool {
        false
    }

    /// Reads without locks, by id.
    async fn scan_outbox(&self, scan: Scan<'_>) -> Result<Look>;

    /// Begins a transaction with the fence: locks the head row of every lease, in the order of
    /// module names. [`super::Error::LeaseLost`] if one does not hold. With no leases it only begins,
    /// for parking rows of unknown modules.
    async fn begin_numbering(&self, leases: &[Lease]) -> Result<Box<dyn NumberingTx>>;

    /// Deletes at most `limit` change ids that were remembered for longer than `window`, by the
    /// database's clock. Returns how many.
    async fn forget_seen(&self, window: Duration, limit: u32) -> Result<u64>;
}

/// A numbering transaction behind its fence. Dropping it rolls back.
#[async_trait]
pub trait NumberingTx: Send {
    /// What the fence read, one per lease, by module name.
    fn heads(&self) -> &[FencedHead];

    /// The database's clock, read after the fence.
    fn now(&self) -> Micros;

    /// Those of the change ids that were numbered before.
    async fn seen(
        &mut self,
        ids: &[(ModuleName, Box<str>)],
    ) -> Result<HashSet<(ModuleName, Box<str>)>>;

    /// The last position of each channel that has one in the log.
    async fn last_positions(
        &mut self,
        channels: &[(ModuleName, Audience)],
    ) -> Result<HashMap<(ModuleName, Audience), Position>>;

    /// Writes everything and ends with the fence, which prolongs the leases by `lease`.
    /// [`super::Error::OutboxChanged`] and [`super::Error::LeaseLost`] leave nothing behind once the
    /// transaction is dropped.
    async fn write(&mut self, batch: &Batch, lease: Duration) -> Result<()>;

    /// Commits. After an error the outcome is unknown.
    async fn commit(self: Box<Self>) -> Result<()>;
}

impl Beyond {
    /// Where a look by ids begins, in a database that knows no marks.
    pub(super) const fn id(self) -> i64 {
        match self {
            Self::Nothing | Self::Mark(_) => i64::MIN,
            Self::Id(id) => id,
        }
    }
}

impl From<Vec<OutboxRow>> for Look {
    fn from(rows: Vec<OutboxRow>) -> Self {
        Self { rows, mark: None }
    }
}

impl HeadUpdate {
    /// As it is stored: zero if the state lacks nothing of the batch.
    pub(super) fn stateless_from(&self) -> i64 {
        self.stateless_from.unwrap_or(Position::ZERO).as_i64()
    }
}

/// Whether the fence found the head of every lease.
pub(super) fn all_fenced(leases: &[Lease], heads: &[FencedHead]) -> Result<()> {
    let held = |lease: &Lease| heads.iter().any(|head| head.module == lease.module);
    still_held(leases, held)
}

/// Whether the last statement moved every head; `moved` are the modules whose token still stood.
pub(super) fn fenced(heads: &[HeadUpdate], moved: &[String]) -> Result<()> {
    let held = |lease: &Lease| moved.iter().any(|name| name == lease.module.as_str());
    still_held(heads.iter().map(|head| &head.lease), held)
}

fn still_held<'a>(
    leases: impl IntoIterator<Item = &'a Lease>,
    held: impl Fn(&Lease) -> bool,
) -> Result<()> {
    match leases.into_iter().find(|lease| !held(lease)) {
        None => Ok(()),
        Some(lost) => Err(Error::LeaseLost {
            module: lost.module.clone(),
        }),
    }
}

/// Whether a statement found every row that was read before.
pub(super) fn all_there(expected: usize, found: u64) -> Result<()> {
    let expected = expected as u64;
    if found == expected {
        return Ok(());
    }
    Err(Error::OutboxChanged {
        expected,
        deleted: found,
    })
}
