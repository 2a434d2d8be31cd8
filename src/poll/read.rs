//! The read behind a poll with a cursor: from memory if the tail reaches back so far, else from the
//! log, else from the state.
//!
//! Invariants: an answer from memory costs no SQL; an answer that was not cut moves the cursor to
//! the tail's own last position; no answer moves it backward, except a declared restart of state.

use std::sync::Arc;

use super::{
    audiences::Audiences,
    failure::Failure,
    meters::Answered,
    page::{Items, Page},
    request::Asked,
    sources::Sources,
};
use crate::{
    domain::{Change, Cursor, ModuleName, Position},
    log::{Edge, TailRead},
    store::{ChannelRead, LogPage, StateItem},
    telemetry::Purpose,
};

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

/// What memory says about a cursor.
enum Judged {
    Answered(Page),
    /// Before what the tail covers.
    Older,
    /// Above the tail or of a later epoch: perhaps this replica is behind.
    Ahead(Edge),
    /// Of an earlier epoch.
    Foreign,
}

impl Read<'_> {
    pub(super) async fn page(&self) -> Result<Page, Failure> {
        match self.judge()? {
            Judged::Answered(page) => Ok(page),
            Judged::Older => self.read_log().await,
            Judged::Ahead(edge) => self.ahead(edge).await,
            Judged::Foreign => self.read_state(Position::ZERO).await,
        }
    }

    fn judge(&self) -> Result<Judged, Failure> {
        let edge = self.edge()?;
        match self.asked.epoch {
            Some(epoch) if epoch < edge.epoch => return Ok(Judged::Foreign),
            Some(epoch) if epoch > edge.epoch => return Ok(Judged::Ahead(edge)),
            _ => {}
        }
        let audiences = self.audiences.as_slice();
        let tail = &self.sources.tail;
        let read = tail.read(self.module, audiences, self.asked.position, self.limit());
        Ok(match read.ok_or(Failure::Unavailable)? {
            TailRead::Found { edge: now, .. } if now.epoch != edge.epoch => Judged::Ahead(now),
            TailRead::Found { changes, cut, edge } => Judged::Answered(page(changes, cut, edge)),
            TailRead::Older(_) => Judged::Older,
            TailRead::Above(edge) => Judged::Ahead(edge),
        })
    }

    /// A cursor that this replica has not reached: it is too old only if the database has not
    /// reached it either.
    async fn ahead(&self, edge: Edge) -> Result<Page, Failure> {
        if self.sources.refresh.bring_to_head().await.is_err() {
            return Ok(self.standing_still(edge));
        }
        match self.judge()? {
            Judged::Answered(page) => Ok(page),
            Judged::Older => self.read_log().await,
            Judged::Ahead(_) | Judged::Foreign => self.read_state(Position::ZERO).await,
        }
    }

    /// Nothing, and the client's own cursor: what can be said when nobody can be asked.
    fn standing_still(&self, edge: Edge) -> Page {
        let epoch = self.asked.epoch.unwrap_or(edge.epoch);
        Page {
            items: Items::NONE,
            cursor: Cursor::new(epoch, self.asked.position),
            cut: false,
            snapshot: false,
            head: edge.last,
            answered: Answered::Idle,
        }
    }

    async fn read_log(&self) -> Result<Page, Failure> {
        let after = self.asked.position;
        let edge = self.fresh_edge().await?;
        if self.asked.epoch.is_some_and(|epoch| epoch != edge.epoch) {
            // The log began anew while this waited.
            return self.read_state(Position::ZERO).await;
        }
        if is_too_old(after, edge.retained_from) {
            return self.read_state(after).await;
        }
        let read = self.channel_read(after, edge.last);
        let log = self.sources.log.read_log(read, Purpose::Poll).await;
        let found = log.map_err(|error| self.database_failed(&error))?;
        // The bounds were read after the rows: what they still promise was there.
        if found.epoch != edge.epoch {
            return self.read_state(Position::ZERO).await;
        }
        if is_too_old(after, found.retained_from) {
            return self.read_state(after).await;
        }
        Ok(self.log_page(found, edge))
    }

    fn log_page(&self, mut found: LogPage, edge: Edge) -> Page {
        let cut = found.changes.len() > self.limit();
        found.changes.truncate(self.limit());
        let mut page = page(found.changes, cut, edge);
        page.answered = Answered::Database;
        page
    }

    /// For a cursor that is too old: the keys that changed since, in the order of their positions.
    async fn read_state(&self, after: Position) -> Result<Page, Failure> {
        if !self.state {
            return Err(Failure::TooOld);
        }
        let edge = self.fresh_edge().await?;
        // A key that changes while this is read moves above `through`: its change comes next time.
        let read = self.channel_read(after, edge.last);
        let log = &self.sources.log;
        let items = log.read_state(read, true, Purpose::State).await;
        let items = items.map_err(|error| self.database_failed(&error))?;
        Ok(self.state_page(items, after, edge))
    }

    fn state_page(&self, mut items: Vec<StateItem>, after: Position, edge: Edge) -> Page {
        let cut = items.len() > self.limit();
        items.truncate(self.limit());
        let end = items.last().filter(|_| cut).map(|item| item.position);
        let position = end.unwrap_or(edge.last).max(after);
        Page {
            items: Items::State(items.into_iter().map(Arc::new).collect()),
            cursor: Cursor::new(edge.epoch, position),
            cut,
            snapshot: true,
            head: edge.last,
            answered: Answered::Snapshot,
        }
    }

    fn channel_read(&self, after: Position, through: Position) -> ChannelRead<'_> {
        ChannelRead {
            module: self.module,
            audiences: self.audiences.as_slice(),
            after,
            through,
            // One more than is shown tells whether there is more.
            limit: self.limit.saturating_add(1),
        }
    }

    /// The edge after the database's head was read; if it cannot be, what the tail has.
    async fn fresh_edge(&self) -> Result<Edge, Failure> {
        let _stale = self.sources.refresh.bring_to_head().await;
        self.edge()
    }

    fn edge(&self) -> Result<Edge, Failure> {
        let edge = self.sources.tail.edge(self.module);
        edge.ok_or(Failure::Unavailable)
    }

    fn limit(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    fn database_failed(&self, error: &crate::store::Error) -> Failure {
        database_failed(self.module, error)
    }
}

/// Logs the error, which the client does not get to see.
pub(super) fn database_failed(module: &ModuleName, error: &crate::store::Error) -> Failure {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%module, %error, source, "a poll needed the database");
    Failure::Unavailable
}

const fn is_too_old(after: Position, retained_from: Position) -> bool {
    after.next().get() < retained_from.get()
}

fn page(changes: Vec<Arc<Change>>, cut: bool, edge: Edge) -> Page {
    let end = changes.last().filter(|_| cut).map(|change| change.cursor());
    let answered = if changes.is_empty() {
        Answered::Idle
    } else {
        Answered::Tail
    };
    Page {
        items: Items::Changes(changes),
        cursor: end.unwrap_or(edge.cursor()),
        cut,
        snapshot: false,
        head: edge.last,
        answered,
    }
}
