//! The read behind a poll whose cursor is a time: the log in whole ticks, else the state in whole ticks.
//!
//! Invariant: the state is read by the time at which its items were numbered, as the log is, so a page of
//! state ends where a time cursor can go on.

use std::sync::Arc;

use super::{
    asked::Reached,
    failure::Failure,
    meters::Answered,
    page::{Items, Page},
    read::{Read, database_failed},
};
use crate::{
    domain::{Micros, Tick},
    log::{Class, FromTick, TickEdge, TickReading, TicksFound, cut_at_tick},
    store::{StateItem, StateTicks},
    telemetry::Purpose,
};

impl Read<'_> {
    /// What memory alone can answer.
    pub(super) fn ticks_from_tail(
        &self,
        from: Micros,
        tick: Tick,
    ) -> Result<Option<Page>, Failure> {
        let found = self
            .sources
            .reader
            .peek_ticks(self.ticks_wanted(from, tick));
        let found = found.map_err(|error| self.failed(&error))?;
        Ok(found.map(page))
    }

    const fn ticks_wanted(&self, from: Micros, tick: Tick) -> FromTick<'_> {
        FromTick {
            module: self.module,
            audiences: self.audiences.as_slice(),
            from,
            tick,
            limit: self.limit,
            purpose: Purpose::Poll,
        }
    }

    pub(super) async fn page_from(&self, from: Micros, tick: Tick) -> Result<Page, Failure> {
        let wanted = self.ticks_wanted(from, tick);
        let reading = self.sources.reader.read_ticks(wanted).await;
        match reading.map_err(|error| self.failed(&error))? {
            TickReading::Found(found) => Ok(page(found)),
            TickReading::TooOld { from } => self.state_from(from, tick).await,
        }
    }

    async fn state_from(&self, from: Micros, tick: Tick) -> Result<Page, Failure> {
        if !self.state {
            return Err(Failure::TooOld);
        }
        let reader = &self.sources.reader;
        let _place = reader.admission.enter(Class::Database, self.module).await?;
        let edge = reader.fresh_tick_edge(self.module, tick).await;
        let edge = edge.map_err(|error| self.failed(&error))?;
        let limit = self.limit.saturating_add(1);
        let mut items = self.state_items((from, edge.open), limit).await?;
        let next = if let Some(end) = overfull(&items, limit, tick) {
            items = self.state_items((from, end), u32::MAX).await?;
            let later = self.state_items((end, edge.open), 1).await?;
            later.first().map(|(at, _)| tick.begin(*at))
        } else {
            cut_at_tick(&mut items, as_count(self.limit), tick, |(at, _)| *at)
        };
        Ok(state_page(items, next, from, edge))
    }

    /// Of closed ticks only: a key that changes while this is read moves above them, and its change comes next time.
    async fn state_items(
        &self,
        (from, before): (Micros, Micros),
        limit: u32,
    ) -> Result<Vec<(Micros, StateItem)>, Failure> {
        let read = StateTicks {
            module: self.module,
            audiences: self.audiences.as_slice(),
            from,
            before,
            limit,
        };
        let log = &self.sources.reader.log;
        let items = log.read_state_ticks(read, Purpose::State).await;
        items.map_err(|error| database_failed(self.module, &error))
    }
}

/// If `limit` items are all of one tick, its end: there may be more of it. Only ticks that were numbered before the
/// module had a time cursor hold more than its pace allows.
fn overfull(items: &[(Micros, StateItem)], limit: u32, tick: Tick) -> Option<Micros> {
    let end = tick.end(items.first()?.0);
    (items.len() >= as_count(limit) && items.last()?.0 < end).then_some(end)
}

fn state_page(
    items: Vec<(Micros, StateItem)>,
    next: Option<Micros>,
    from: Micros,
    edge: TickEdge,
) -> Page {
    Page {
        items: Items::State(items.into_iter().map(|(_, item)| Arc::new(item)).collect()),
        cursor: Reached::Tick {
            at: next.unwrap_or(edge.open).max(from),
            open: edge.open,
        },
        cut: next.is_some(),
        snapshot: true,
        head: edge.edge.last,
        answered: Answered::Snapshot,
    }
}

fn page(found: TicksFound) -> Page {
    let answered = match found.class {
        Class::Database => Answered::Database,
        Class::Tail if found.changes.is_empty() => Answered::Idle,
        Class::Tail => Answered::Tail,
    };
    Page {
        items: Items::Changes(found.changes),
        cursor: Reached::Tick {
            at: found.cursor,
            open: found.edge.open,
        },
        cut: found.cut,
        snapshot: false,
        head: found.edge.edge.last,
        answered,
    }
}

fn as_count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
