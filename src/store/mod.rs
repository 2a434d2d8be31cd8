//! Where the log lives: one set of traits, a folder per database behind it, chosen by URL.
//!
//! Invariants: SQL stands in this room only; a change is numbered after its commit, in a
//! transaction that begins and ends with the fence of its module's lease; what a caller is told
//! is durable was committed.

mod changelog;
mod error;
mod lease;
mod mirror_cursor;
mod numbering;
mod outbox;
// mod postgres;
mod schema;
// mod sqlite;
mod stages;

pub use changelog::{ChangeLog, ChannelRead, Head, LogPage, StateItem};
pub use error::{Error, Result};
pub use lease::{Lease, Leases};
pub use mirror_cursor::{MirrorCursor, MirrorCursors};
pub use numbering::{
    Batch, FencedHead, HeadUpdate, NumberedRow, Numbering, NumberingTx, OutboxRow, Parked, Scan,
};
pub use outbox::{Outbox, RejectedRow};
pub use schema::{Schema, SchemaState};
pub use stages::{Act, AuditEntry, StageRecord, Stages};

/// Everything that the rooms above ask of a database.
pub trait Store:
    Schema + Outbox + Leases + Numbering + ChangeLog + MirrorCursors + Stages + Send + Sync + 'static
{
}

impl<T> Store for T where
    T: Schema
        + Outbox
        + Leases
        + Numbering
        + ChangeLog
        + MirrorCursors
        + Stages
        + Send
        + Sync
        + 'static
{
}
