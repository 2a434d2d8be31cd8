//! The read behind a poll with a cursor: from memory if the tail reaches back so far, else from the
//! log, else from the state.
//!
//! Invariants: an answer from memory costs no SQL; an answer that was not cut moves the cursor to
//! the tail's own last position; no answer moves it backward, except a declared restart of state.

use std::sync::Arc;

use super::{
    asked::Asked,
    audiences::Audiences,
    failure::Failure,
    meters::Answered,
    page::{Items, Page},
    sources::Sources,
};
use crate::{
    domain::{Cursor, ModuleName, Position},
    log::{Class, Edge, Found, Freshness, ReadError, Reading, Since, Wanted},
    store::{self, ChannelRead, StateItem},
    telemetry::Purpose,
};

/// How often a state is read again because a new epoch began meanwhile.
const ATTEMPTS: u32 = 3;

/// A read of one module for one client.
pub(super) struct Read<'a> {
    pub(super) sources: &'a Sources,
    pub(super) module: &'a ModuleName,
    pub(super) audiences: &'a Audiences,
    pub(super) asked: Asked,
    pub(super) limit: u32,
    /// Whether the module keeps its state.
    pub(super) state: bool,
}

impl Read<'_> {
    /// What memory alone can answer.
    pub(super) fn page_from_tail(&self) -> Result<Option<Page>, Failure> {
        let since = match self.asked {
            Asked::After(since) => since,
            Asked::From { at, tick } => return self.ticks_from_tail(at, tick),
        };
        let found = self.sources.reader.peek(self.wanted(since));
        let found = found.map_err(|error| self.failed(&error))?;
        Ok(found.map(page))
    }

    pub(super) async fn page(&self) -> Result<Page, Failure> {
        match self.asked {
            Asked::After(since) => self.page_after(since).await,
            Asked::From { at, tick } => self.page_from(at, tick).await,
        }
    }

    async fn page_after(&self, since: Since) -> Result<Page, Failure> {
        let reader = &self.sources.reader;
        let reading = reader.read(self.wanted(since), Freshness::Tail).await;
        match reading.map_err(|error| self.failed(&error))? {
            Reading::Found(found) => Ok(page(found)),
            Reading::TooOld { after } => self.read_state(after).await,
            Reading::NobodyToAsk(edge) => Ok(standing_still(since, edge)),
        }
    }

    const fn wanted(&self, since: Since) -> Wanted<'_> {
        Wanted {
            module: self.module,
            audiences: self.audiences.as_slice(),
            since,
            limit: self.limit,
            purpose: Purpose::Poll,
        }
    }

    /// For a cursor that is too old: the keys that changed since, in the order of their positions.
    async fn read_state(&self, after: Position) -> Result<Page, Failure> {
        if !self.state {
            return Err(Failure::TooOld);
        }
        let reader = &self.sources.reader;
        let _place = reader.admission.enter(Class::Database, self.module).await?;
        for _ in 0..ATTEMPTS {
            let edge = self.fresh_edge().await?;
            let read = ChannelRead {
                module: self.module,
                audiences: self.audiences.as_slice(),
                after,
                // A key that changes while this is read moves above it: its change comes next time.
                through: edge.last,
                // One more than is shown tells whether there is more.
                limit: self.limit.saturating_add(1),
            };
            let items = reader.log.read_state(read, true, Purpose::State).await;
            let items = items.map_err(|error| database_failed(self.module, &error))?;
            // A new epoch moves all of the state above the edge of before: nothing then looks like no state.
            if !items.is_empty() || self.fresh_edge().await?.epoch == edge.epoch {
                return Ok(self.state_page(items, after, edge));
            }
        }
        Err(Failure::Unavailable)
    }

    async fn fresh_edge(&self) -> Result<Edge, Failure> {
        let edge = self.sources.reader.fresh_edge(self.module).await;
        edge.map_err(|error| self.failed(&error))
    }

    fn state_page(&self, mut items: Vec<StateItem>, after: Position, edge: Edge) -> Page {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let cut = items.len() > limit;
        items.truncate(limit);
        let end = items.last().filter(|_| cut).map(|item| item.position);
        let position = end.unwrap_or(edge.last).max(after);
        Page {
            items: Items::State(items.into_iter().map(Arc::new).collect()),
            cursor: Cursor::new(edge.epoch, position).into(),
            cut,
            snapshot: true,
            head: edge.last,
            answered: Answered::Snapshot,
        }
    }

    pub(super) fn failed(&self, error: &ReadError) -> Failure {
        match error {
            ReadError::NotFollowed => Failure::Unavailable,
            ReadError::Busy(busy) => (*busy).into(),
            ReadError::Database(error) => database_failed(self.module, error),
        }
    }
}

/// Nothing, and the client's own cursor: what can be said when nobody can be asked.
fn standing_still(since: Since, edge: Edge) -> Page {
    let epoch = since.epoch.unwrap_or(edge.epoch);
    Page {
        items: Items::NONE,
        cursor: Cursor::new(epoch, since.position).into(),
        cut: false,
        snapshot: false,
        head: edge.last,
        answered: Answered::Idle,
    }
}

/// Logs the error, which the client does not get to see.
pub(super) fn database_failed(module: &ModuleName, error: &store::Error) -> Failure {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%module, %error, source, "a poll needed the database");
    Failure::Unavailable
}

fn page(found: Found) -> Page {
    let answered = match found.class {
        Class::Database => Answered::Database,
        Class::Tail if found.changes.is_empty() => Answered::Idle,
        Class::Tail => Answered::Tail,
    };
    Page {
        cursor: found.cursor().into(),
        items: Items::Changes(found.changes),
        cut: found.cut,
        snapshot: false,
        head: found.edge.last,
        answered,
    }
}
