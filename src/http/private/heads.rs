//! Where the logs of all modules end, for the answers that say it: as the database has it, or while it does not answer as this replica
//! remembers it.
//!
//! Invariants: a database that hangs holds up no answer that memory can give for longer than [`PATIENCE`]; what was never read is not
//! remembered.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{PrivateState, database_problem};
use crate::{
    domain::ModuleName,
    http::Problem,
    store::{self, Error, Head},
    telemetry::Purpose,
};

/// How long the database may take where memory can answer as well.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// And how long once the flags, which are read all the time, could not be for as long as [`PATIENCE`]: who looks each second is not to wait
/// for what has just failed.
const PATIENCE_WHILE_AWAY: Duration = Duration::from_millis(250);

/// That an answer comes from the memory of the replica that gives it, because the database does not answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = FromMemory)]
pub struct FromMemory {
    /// Why.
    why: &'static str,
    /// How long ago stages and cohorts were last read from the database, in milliseconds.
    read_ms_ago: Option<u64>,
}

/// Where logs end, as far as that is known.
pub(super) enum Heads {
    /// The database says so.
    Read(HashMap<ModuleName, Head>),
    /// It does not answer.
    Remembered(FromMemory),
}

/// Where one log ends, and who numbers it.
pub(super) struct LogEnd {
    pub(super) epoch: u32,
    pub(super) head: u64,
    pub(super) retained_from: u64,
    /// `None` if nobody does, and where only memory answers: a lease that nobody can renew runs out.
    pub(super) lease_holder: Option<String>,
}

impl FromMemory {
    /// The memory of this replica, if the database failed in a way that passes; else the problem.
    fn instead(state: &PrivateState, error: &Error) -> Result<Self, Problem> {
        match error {
            Error::Unavailable { .. } | Error::NoRoom { .. } => {
                Ok(Self::of(state, "the database does not answer"))
            }
            other => Err(database_problem(other)),
        }
    }

    fn of(state: &PrivateState, why: &'static str) -> Self {
        Self {
            why,
            read_ms_ago: age(state).map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

impl Heads {
    /// What the database says, for what cannot be done without it.
    pub(super) async fn read(state: &PrivateState) -> Result<Self, Problem> {
        Ok(Self::Read(heads_by_module(state).await?))
    }

    /// What the database says, or what is remembered, if anything is.
    pub(super) async fn known(state: &PrivateState) -> Result<Self, Problem> {
        if age(state).is_none() {
            return Self::read(state).await;
        }
        let is_away = age(state).is_some_and(|age| age > PATIENCE);
        let patience = if is_away {
            PATIENCE_WHILE_AWAY
        } else {
            PATIENCE
        };
        match timeout(patience, by_module(state)).await {
            Ok(Ok(heads)) => Ok(Self::Read(heads)),
            Ok(Err(error)) => FromMemory::instead(state, &error).map(Self::Remembered),
            Err(_elapsed) => {
                let why = "the database does not answer in time";
                Ok(Self::Remembered(FromMemory::of(state, why)))
            }
        }
    }

    /// That this is from memory, if so.
    pub(super) fn memory(&self) -> Option<FromMemory> {
        match self {
            Self::Read(_) => None,
            Self::Remembered(memory) => Some(memory.clone()),
        }
    }

    /// Where the log of a module ends. Memory has it as far as the tail has got.
    pub(super) fn of(&self, state: &PrivateState, module: &ModuleName) -> LogEnd {
        match self {
            Self::Read(heads) => {
                let head = heads.get(module);
                LogEnd {
                    epoch: head.map_or(1, |head| head.epoch.get()),
                    head: head.map_or(0, |head| head.head.get()),
                    retained_from: head.map_or(1, |head| head.retained_from.get()),
                    lease_holder: head
                        .filter(|head| !head.lease_vacant)
                        .and_then(|head| head.lease_holder.clone()),
                }
            }
            Self::Remembered(_) => {
                let edge = state.tail.edge(module);
                LogEnd {
                    epoch: edge.map_or(1, |edge| edge.epoch.get()),
                    head: edge.map_or(0, |edge| edge.last.get()),
                    retained_from: edge.map_or(1, |edge| edge.retained_from.get()),
                    lease_holder: None,
                }
            }
        }
    }
}

/// How long ago the flags were read; `None` if they never were.
fn age(state: &PrivateState) -> Option<Duration> {
    let read = state.flags.confirmed_at()?;
    Some(Instant::now().saturating_duration_since(read))
}

/// Where the logs end, by module.
pub(super) async fn heads_by_module(
    state: &PrivateState,
) -> Result<HashMap<ModuleName, Head>, Problem> {
    let heads = by_module(state).await;
    heads.map_err(|error| database_problem(&error))
}

async fn by_module(state: &PrivateState) -> store::Result<HashMap<ModuleName, Head>> {
    let heads = state.store.heads(Purpose::Flags).await?;
    let named = heads.into_iter().map(|head| (head.module.clone(), head));
    Ok(named.collect())
}
