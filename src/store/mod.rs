//! Where the log lives: one set of traits, a folder per database behind it, chosen by URL.
//!
//! Invariants: SQL stands in this room only; a change is numbered after its commit, in a
//! transaction that begins and ends with the fence of its module's lease; what a caller is told
//! is durable was committed.

mod census;
mod census_kept;
mod changelog;
mod epochs;
mod error;
mod facts;
mod guards;
mod instances;
mod lease;
mod log_identity;
mod migration;
mod mirror_cursor;
mod mysql;
mod numbering;
mod outbox;
mod panics;
mod postgres;
mod retention;
mod row;
mod schema;
mod seat;
mod signing_keys;
mod sqlite;
mod stages;
mod states;
mod target_step;
mod targets;
mod tick_index;
mod ticks;
mod tokens;
mod usage;

use std::sync::Arc;

pub use census::{
    AGENT_BYTES, Ago, CLIENT_ID_BYTES, Census, ClientCount, ClientFilter, Crowd, KnownClient,
    Pollers, PollingAgent, Sighting, Sketch, Told,
};
pub use census_kept::{CensusKept, Keeping, KnownSince};
pub use changelog::{ChangeLog, ChannelRead, Head, LogPage, StateItem};
pub use epochs::{EpochBump, EpochBumped, EpochMark, Epochs, Ground};
pub use error::{Error, Result};
pub use facts::{Facts, Findings, KnownFacts, MirrorFact, SeenFact, VerifierPeriod};
pub use guards::{GuardRecord, GuardTurn, GuardWrite, Guards, GuardsSeen, TurnKind};
pub use instances::{Beat, Beaten, Instance, Instances};
pub use lease::{Lease, Leases, Share};
pub use log_identity::LogIdentity;
pub use mirror_cursor::{MirrorCursor, MirrorCursors};
pub use numbering::{
    Batch, Beyond, FencedHead, HeadUpdate, Look, Mark, NumberedRow, Numbering, NumberingTx,
    OutboxRow, Parked, Scan,
};
pub use outbox::{Outbox, RejectedRow};
pub use panics::{PanicAct, PanicRecord, PanicStep, Panics};
pub use retention::{Aged, Bounds, Note, Retention, Swept, TargetPosition, Which, Window};
pub use schema::{Schema, SchemaState};
pub use signing_keys::{SigningKey, SigningKeyAdded, SigningKeys, SigningKeysRead};
pub use stages::{
    Act, AuditEntry, Entered, Forced, SeenTarget, StageRecord, Stages, StagesRead, Unreadable,
};
pub use states::{Mended, States};
pub use targets::{
    CursorMark, ReplayFrom, TargetAct, TargetActed, TargetBlocked, TargetCursor, TargetMark,
    TargetRecord, TargetStep, Targets,
};
pub use tick_index::TickIndex;
pub use ticks::{Closed, Closing, StateTicks, TickBounds, Ticks};
pub use tokens::{Enrolled, NewToken, TokenRecord, TokenRevoked, Tokens};
pub use usage::{Busiest, UsageFlush, Usages};

use crate::config::{database::Database, sequencer::Sequencer};

/// Everything that the rooms above ask of a database.
pub trait Store:
    Schema
    + Outbox
    + Leases
    + Instances
    + Numbering
    + ChangeLog
    + States
    + MirrorCursors
    + Retention
    + Stages
    + Panics
    + Facts
    + Census
    + CensusKept
    + Guards
    + Targets
    + Epochs
    + Ticks
    + TickIndex
    + Tokens
    + Usages
    + SigningKeys
    + LogIdentity
    + Send
    + Sync
    + 'static
{
}

impl<T> Store for T where
    T: Schema
        + Outbox
        + Leases
        + Instances
        + Numbering
        + ChangeLog
        + States
        + MirrorCursors
        + Retention
        + Stages
        + Panics
        + Facts
        + Census
        + CensusKept
        + CensusKept
        + Guards
        + Targets
        + Epochs
        + Ticks
        + TickIndex
        + Tokens
        + Usages
        + SigningKeys
        + LogIdentity
        + Send
        + Sync
        + 'static
{
}

/// Opens the database that `database.url` names. The schema may still be pending: see
/// [`Schema::schema_state`] and [`Schema::migrate`]. `sequencer` gives the time-outs of the
/// numbering connection. A server need not answer yet.
pub async fn open(database: &Database, sequencer: &Sequencer) -> Result<Arc<dyn Store>> {
    let scheme = database.url.split(':').next().unwrap_or_default();
    match scheme {
        "sqlite" => Ok(Arc::new(
            sqlite::SqliteStore::open(database, sequencer).await?,
        )),
        "postgres" | "postgresql" => Ok(Arc::new(postgres::PostgresStore::open(
            database, sequencer,
        )?)),
        "mysql" | "mariadb" => Ok(Arc::new(mysql::MySqlStore::open(database, sequencer)?)),
        other => Err(Error::UnknownScheme {
            scheme: other.to_owned(),
        }),
    }
}
