//! Reading some channels of a module's log above a cursor: from memory if the tail reaches back so
//! far, else from the database.
//!
//! Invariants: a read that memory answers costs no SQL; what was read from the database is judged
//! by bounds that were read after the rows; "too old" is said only after the database was asked.

use std::sync::Arc;

use super::{Admission, Busy, Class, Edge, Refresh, Tail, TailRead};
use crate::{
    domain::{Audience, Change, Cursor, Epoch, ModuleName, Position},
    store::{self, ChangeLog, ChannelRead, LogPage},
    telemetry::Purpose,
};

/// What a client has seen, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Since {
    /// Not known with integer cursors, and at the beginning.
    pub epoch: Option<Epoch>,
    /// The last position seen.
    pub position: Position,
}

impl Since {
    /// Nothing seen yet.
    pub const BEGINNING: Self = Self {
        epoch: None,
        position: Position::ZERO,
    };
}

impl From<Cursor> for Since {
    fn from(cursor: Cursor) -> Self {
        Self {
            epoch: Some(cursor.epoch),
            position: cursor.position,
        }
    }
}

/// A read of some channels of one module.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The module.
    pub module: &'a ModuleName,
    /// The audiences, without repeats.
    pub audiences: &'a [Audience],
    /// What the client has seen.
    pub since: Since,
    /// Most changes.
    pub limit: u32,
    /// Who asks, for the metric of queries.
    pub purpose: Purpose,
}

/// How new an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// What the tail has: good for one who comes again.
    Tail,
    /// At least what the database had when the request came: for one who wants to hear that it is
    /// up to date.
    Head,
}

/// Changes above a cursor.
#[derive(Debug, Clone)]
pub struct Found {
    /// By position.
    pub changes: Vec<Arc<Change>>,
    /// Whether there is more: then the last change is where to go on, else the edge.
    pub cut: bool,
    /// The tail's edge at that moment.
    pub edge: Edge,
    /// Whether the edge is at least what the database had when the request came. If not, "up to
    /// date" must not be said.
    pub fresh: bool,
    /// Where they came from.
    pub class: Class,
}

impl Found {
    /// What the client sends next time.
    pub fn cursor(&self) -> Cursor {
        let last = self.changes.last().filter(|_| self.cut);
        last.map_or(self.edge.cursor(), |change| change.cursor())
    }
}

/// What a read comes to.
#[derive(Debug, Clone)]
pub enum Reading {
    /// The changes, or that there are none.
    Found(Found),
    /// The log does not reach back so far, or the cursor is of another log. State above this
    /// position makes up for it.
    TooOld {
        /// 0 for a cursor of another log.
        after: Position,
    },
    /// The cursor is above what this replica has, and the database cannot be asked what it is, or
    /// too many ask it already.
    NobodyToAsk(Edge),
}

/// Why a read was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The module is not followed, or nothing is loaded yet.
    #[error("the module is not followed")]
    NotFollowed,
    /// Too many reads of the database at once.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] store::Error),
}

/// What reads are made of, and the way from a cursor to changes.
pub struct Reader {
    /// The database.
    pub log: Arc<dyn ChangeLog + Send + Sync>,
    /// Memory.
    pub tail: Arc<Tail>,
    /// Brings memory to the database's head.
    pub refresh: Arc<Refresh>,
    /// Who may ask the database.
    pub admission: Arc<Admission>,
}

/// What memory says about a cursor.
enum Judged {
    Found(Found),
    /// Before what the tail covers.
    Older,
    /// Above the tail or of a later epoch: perhaps this replica is behind.
    Ahead(Edge),
    /// Of an earlier epoch.
    Foreign,
}

impl Reader {
    /// Reads. With [`Freshness::Head`] and a database that does not answer it is what the tail has,
    /// and not fresh.
    pub async fn read(
        &self,
        wanted: Wanted<'_>,
        freshness: Freshness,
    ) -> Result<Reading, ReadError> {
        let fresh =
            freshness == Freshness::Head && self.refresh.bring_to_head(wanted.module).await.is_ok();
        match self.judge(wanted)? {
            Judged::Found(found) => Ok(Reading::Found(Found { fresh, ..found })),
            Judged::Older => self.read_log(wanted).await,
            Judged::Ahead(edge) => self.ahead(wanted, edge).await,
            Judged::Foreign => Ok(FOREIGN),
        }
    }

    /// What memory alone can say; `None` if the database must be asked.
    pub fn peek(&self, wanted: Wanted<'_>) -> Result<Option<Found>, ReadError> {
        Ok(match self.judge(wanted)? {
            Judged::Found(found) => Some(found),
            Judged::Older | Judged::Ahead(_) | Judged::Foreign => None,
        })
    }

    /// The edge after the database's head was read; if it cannot be, what the tail has.
    pub async fn fresh_edge(&self, module: &ModuleName) -> Result<Edge, ReadError> {
        let _stale = self.refresh.bring_to_head(module).await;
        self.edge(module)
    }

    /// What the tail covers.
    pub fn edge(&self, module: &ModuleName) -> Result<Edge, ReadError> {
        self.tail.edge(module).ok_or(ReadError::NotFollowed)
    }

    fn judge(&self, wanted: Wanted<'_>) -> Result<Judged, ReadError> {
        let (after, limit) = (wanted.since.position, as_count(wanted.limit));
        let read = self
            .tail
            .read(wanted.module, wanted.audiences, after, limit);
        // One look: what is found and the edge that judges the epoch are of the same moment.
        let read = read.ok_or(ReadError::NotFollowed)?;
        let edge = read.edge();
        match wanted.since.epoch {
            Some(epoch) if epoch < edge.epoch => return Ok(Judged::Foreign),
            Some(epoch) if epoch > edge.epoch => return Ok(Judged::Ahead(edge)),
            _ => {}
        }
        Ok(match read {
            TailRead::Found { changes, cut, edge } => Judged::Found(Found {
                changes,
                cut,
                edge,
                fresh: false,
                class: Class::Tail,
            }),
            TailRead::Older(_) => Judged::Older,
            TailRead::Above(edge) => Judged::Ahead(edge),
        })
    }

    /// A cursor that this replica has not reached: it is too old only if the database has not
    /// reached it either. Such cursors can be made up at no cost, and each asks the database: they
    /// need a place like any read of it.
    async fn ahead(&self, wanted: Wanted<'_>, edge: Edge) -> Result<Reading, ReadError> {
        let place = self.admission.enter(Class::Database, wanted.module).await;
        if place.is_err() || self.refresh.bring_to_head(wanted.module).await.is_err() {
            return Ok(Reading::NobodyToAsk(edge));
        }
        drop(place);
        match self.judge(wanted)? {
            Judged::Found(found) => Ok(Reading::Found(Found {
                fresh: true,
                ..found
            })),
            Judged::Older => self.read_log(wanted).await,
            Judged::Ahead(_) | Judged::Foreign => Ok(FOREIGN),
        }
    }

    async fn read_log(&self, wanted: Wanted<'_>) -> Result<Reading, ReadError> {
        let _place = self.admission.enter(Class::Database, wanted.module).await?;
        let after = wanted.since.position;
        let fresh = self.refresh.bring_to_head(wanted.module).await.is_ok();
        let edge = self.edge(wanted.module)?;
        if wanted.since.epoch.is_some_and(|epoch| epoch != edge.epoch) {
            // The log began anew while this waited.
            return Ok(FOREIGN);
        }
        if is_too_old(after, edge.retained_from) {
            return Ok(Reading::TooOld { after });
        }
        let found = self.log.read_log(
            ChannelRead {
                module: wanted.module,
                audiences: wanted.audiences,
                after,
                through: edge.last,
                // One more than is shown tells whether there is more.
                limit: wanted.limit.saturating_add(1),
            },
            wanted.purpose,
        );
        let found = found.await?;
        // The bounds were read after the rows: what they still promise was there.
        if found.epoch != edge.epoch {
            return Ok(FOREIGN);
        }
        if is_too_old(after, found.retained_from) {
            return Ok(Reading::TooOld { after });
        }
        let found = from_database(found, edge, wanted.limit);
        Ok(Reading::Found(Found { fresh, ..found }))
    }
}

/// A cursor of another log counts as none.
const FOREIGN: Reading = Reading::TooOld {
    after: Position::ZERO,
};

fn from_database(page: LogPage, edge: Edge, limit: u32) -> Found {
    let mut changes = page.changes;
    let cut = changes.len() > as_count(limit);
    changes.truncate(as_count(limit));
    Found {
        changes,
        cut,
        edge,
        fresh: false,
        class: Class::Database,
    }
}

fn as_count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

const fn is_too_old(after: Position, retained_from: Position) -> bool {
    after.next().get() < retained_from.get()
}
