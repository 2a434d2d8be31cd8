//! The read behind a poll without a cursor: the whole state, each time.
//!
//! Invariants: nothing is hidden, a state that is too large is refused and not cut; as long as the
//! tail covers what has changed since the last such poll of these audiences, it costs no SQL.

use std::sync::Arc;

use tokio::{sync::MutexGuard, time::timeout};

use super::{
    audiences::Audiences,
    failure::Failure,
    meters::Answered,
    page::{Items, Page},
    read::database_failed,
    sources::Sources,
    state_cache::{Held, StateKey},
};
use crate::{
    domain::{Cursor, ModuleName, Position},
    log::{Class, Edge, TailRead},
    store::{ChannelRead, StateItem},
    telemetry::Purpose,
};

/// The read of the whole state of one module for some audiences.
pub(super) struct WholeState<'a> {
    pub(super) sources: &'a Sources,
    pub(super) module: &'a ModuleName,
    pub(super) audiences: &'a Audiences,
    /// Most items of an answer.
    pub(super) max: u32,
}

impl WholeState<'_> {
    /// What memory alone can answer.
    pub(super) fn remembered_page(&self) -> Option<Result<Page, Failure>> {
        let held = self.remembered(&self.key())?;
        Some(self.show(held, Answered::Tail))
    }

    /// From the database, unless another poll has just read it there.
    pub(super) async fn page(&self) -> Result<Page, Failure> {
        let key = self.key();
        let _turn = self.turn(&key).await?;
        if let Some(held) = self.remembered(&key) {
            return self.show(held, Answered::Tail);
        }
        let held = self.load(key).await?;
        self.show(held, Answered::Database)
    }

    fn key(&self) -> StateKey {
        StateKey {
            module: self.module.clone(),
            audiences: self.audiences.clone(),
        }
    }

    /// Waits no longer than for a place: whoever has the turn may be waiting for one.
    async fn turn(&self, key: &StateKey) -> Result<MutexGuard<'_, ()>, Failure> {
        let admission = &self.sources.reader.admission;
        let turn = timeout(admission.patience(), self.sources.states.turn(key)).await;
        turn.map_err(|_elapsed| admission.refuse(Class::Database, self.module).into())
    }

    fn remembered(&self, key: &StateKey) -> Option<Held> {
        let held = self.sources.states.get(key)?;
        let now = self.advance(&held)?;
        if now.through != held.through {
            self.sources.states.put(key.clone(), now.clone());
        }
        Some(now)
    }

    /// Brings a state to the tail's edge, if the tail reaches back to it.
    fn advance(&self, held: &Held) -> Option<Held> {
        let audiences = self.audiences.as_slice();
        let tail = &self.sources.reader.tail;
        match tail.read(self.module, audiences, held.through, usize::MAX)? {
            TailRead::Found { changes, edge, .. } if edge.epoch == held.epoch => held
                .advance(&changes, edge.last)
                .map(|held| self.within_max(held)),
            _ => None,
        }
    }

    async fn load(&self, key: StateKey) -> Result<Held, Failure> {
        let admission = &self.sources.reader.admission;
        let _place = admission.enter(Class::Database, self.module).await?;
        let (held, exact) = self.read().await?;
        // A tail that was far behind may have passed by the first read's position.
        let (held, exact) = if exact {
            (held, exact)
        } else {
            self.read().await?
        };
        if exact {
            self.sources.states.put(key, held.clone());
        }
        Ok(held)
    }

    /// Position first, then state, then what came between: the result is the state at the edge.
    /// If the tail cannot tell what came between, the state is whole but perhaps newer than its
    /// position: good for one answer, and false is returned beside it.
    async fn read(&self) -> Result<(Held, bool), Failure> {
        let edge = self.edge()?;
        let rows = self.read_rows().await?;
        let held = self.within_max(Held {
            epoch: edge.epoch,
            through: edge.last,
            items: Some(rows.into_iter().map(Arc::new).collect()),
        });
        if held.items.is_none() {
            self.warn_too_large();
        }
        let refresh = &self.sources.reader.refresh;
        if refresh.bring_to_head(self.module).await.is_err() {
            return Ok((held, false));
        }
        Ok(match self.advance(&held) {
            Some(now) => (now, true),
            None => (held, false),
        })
    }

    async fn read_rows(&self) -> Result<Vec<StateItem>, Failure> {
        let read = ChannelRead {
            module: self.module,
            audiences: self.audiences.as_slice(),
            after: Position::ZERO,
            // Not the tail's edge: a key that changed above it would be missing.
            through: Position::from_i64(i64::MAX),
            limit: self.max.saturating_add(1),
        };
        let log = &self.sources.reader.log;
        let rows = log.read_state(read, false, Purpose::State).await;
        rows.map_err(|error| database_failed(self.module, &error))
    }

    fn within_max(&self, held: Held) -> Held {
        let max = usize::try_from(self.max).unwrap_or(usize::MAX);
        let items = held.items.filter(|items| items.len() <= max);
        Held { items, ..held }
    }

    fn warn_too_large(&self) {
        tracing::warn!(
            module = %self.module,
            audience = self.audiences.own(),
            max = self.max,
            "the state holds more than modules[].poll.limit.max: polls are answered 503 until it is raised"
        );
    }

    fn edge(&self) -> Result<Edge, Failure> {
        let edge = self.sources.reader.tail.edge(self.module);
        edge.ok_or(Failure::Unavailable)
    }

    fn show(&self, held: Held, answered: Answered) -> Result<Page, Failure> {
        let items = held.items.ok_or(Failure::StateTooLarge)?;
        let answered = match answered {
            Answered::Tail if items.is_empty() => Answered::Idle,
            other => other,
        };
        Ok(Page {
            items: Items::State(items),
            cursor: Cursor::new(held.epoch, held.through).into(),
            cut: false,
            snapshot: true,
            head: self.edge()?.last,
            answered,
        })
    }
}
