//! Reading some channels of a module's log from a tick on: from memory if the tail reaches back so far, else from
//! the database.
//!
//! Invariants: a tick is shown once it is closed, and whole; an answer moves a cursor to a tick from which on nothing
//! was shown, and never back; a read that memory answers costs no SQL; "too old" is said only after the
//! database was asked.

use std::sync::Arc;

use super::{
    Class, ReadError, Reader,
    ticks::{TickEdge, TickRead, cut_at_tick},
};
use crate::{
    domain::{Audience, Change, Micros, ModuleName, Position, Tick},
    store::{ChannelRead, LogPage, TickBounds},
    telemetry::Purpose,
};

/// A read of some channels of one module from a tick on.
#[derive(Debug, Clone, Copy)]
pub struct FromTick<'a> {
    /// The module.
    pub module: &'a ModuleName,
    /// The audiences, without repeats.
    pub audiences: &'a [Audience],
    /// Every earlier tick has been seen. Where a tick begins.
    pub from: Micros,
    /// The tick.
    pub tick: Tick,
    /// Most changes, unless the first tick alone holds more.
    pub limit: u32,
    /// Who asks, for the metric of queries.
    pub purpose: Purpose,
}

/// Changes from a tick on.
#[derive(Debug, Clone)]
pub struct TicksFound {
    /// By position.
    pub changes: Vec<Arc<Change>>,
    /// What the client sends next time.
    pub cursor: Micros,
    /// Whether the limit cut it.
    pub cut: bool,
    /// The tail's edge at that moment.
    pub edge: TickEdge,
    /// Where they came from.
    pub class: Class,
}

/// What such a read comes to.
#[derive(Debug, Clone)]
pub enum TickReading {
    /// The changes, or that there are none.
    Found(TicksFound),
    /// The log does not reach back so far. State from this tick on makes up for it.
    TooOld {
        /// Where the client goes on, or zero for all of the state.
        from: Micros,
    },
}

impl Reader {
    /// Reads. A cursor above what is closed is believed: nothing is answered until its tick is closed.
    pub async fn read_ticks(&self, wanted: FromTick<'_>) -> Result<TickReading, ReadError> {
        match self.ticks_in_memory(wanted)? {
            TickRead::Found {
                changes,
                next,
                edge,
            } => Ok(TickReading::Found(found(
                wanted,
                changes,
                next,
                edge,
                Class::Tail,
            ))),
            TickRead::Older(_) => self.read_ticks_of_log(wanted).await,
        }
    }

    /// What memory alone can say; `None` if the database must be asked.
    pub fn peek_ticks(&self, wanted: FromTick<'_>) -> Result<Option<TicksFound>, ReadError> {
        Ok(match self.ticks_in_memory(wanted)? {
            TickRead::Found {
                changes,
                next,
                edge,
            } => Some(found(wanted, changes, next, edge, Class::Tail)),
            TickRead::Older(_) => None,
        })
    }

    /// Where the tail ends after the database's head was read; if it cannot be, where it ends.
    pub async fn fresh_tick_edge(
        &self,
        module: &ModuleName,
        tick: Tick,
    ) -> Result<TickEdge, ReadError> {
        let _stale = self.refresh.bring_to_head(module).await;
        self.tick_edge(module, tick)
    }

    fn tick_edge(&self, module: &ModuleName, tick: Tick) -> Result<TickEdge, ReadError> {
        let edge = self.tail.tick_edge(module, tick);
        edge.ok_or(ReadError::NotFollowed)
    }

    fn ticks_in_memory(&self, wanted: FromTick<'_>) -> Result<TickRead, ReadError> {
        let (from, tick) = (wanted.from, wanted.tick);
        let limit = as_count(wanted.limit);
        let (module, audiences) = (wanted.module, wanted.audiences);
        let read = self.tail.read_ticks(module, audiences, from, tick, limit);
        read.ok_or(ReadError::NotFollowed)
    }

    async fn read_ticks_of_log(&self, wanted: FromTick<'_>) -> Result<TickReading, ReadError> {
        let _place = self.admission.enter(Class::Database, wanted.module).await?;
        let edge = self.fresh_tick_edge(wanted.module, wanted.tick).await?;
        let bounds = self
            .log
            .tick_bounds(wanted.module, wanted.from, wanted.purpose);
        let bounds = bounds.await?;
        if let Some(too_old) = too_old(&bounds, wanted.from, wanted.tick) {
            return Ok(too_old);
        }
        let limit = wanted.limit.saturating_add(1);
        let page = self.log_page(wanted, bounds.after, edge.edge.last, limit);
        let mut page = page.await?;
        let mut whole_tick = None;
        let is_of_closed = |at: &Micros| *at < edge.open;
        if let Some(end) =
            overfull(&page.changes, limit, wanted.tick).filter(|end| *end <= edge.open)
        {
            let (tick, next) = self.log_tick(wanted, bounds.after, edge, end).await?;
            page = tick;
            whole_tick = Some(next.filter(is_of_closed));
        }
        // The bounds were read after the rows: what they still promise was there.
        if page.epoch != bounds.epoch || bounds.after.next() < page.retained_from {
            return Ok(TickReading::TooOld { from: wanted.from });
        }
        let mut changes = page.changes;
        let next = if let Some(next) = whole_tick {
            next
        } else {
            let open = changes.partition_point(|change| change.sequenced_at < edge.open);
            changes.truncate(open);
            let limit = as_count(wanted.limit);
            cut_at_tick(&mut changes, limit, wanted.tick, |c| c.sequenced_at)
        };
        let class = Class::Database;
        Ok(TickReading::Found(found(
            wanted, changes, next, edge, class,
        )))
    }

    /// All of the first tick, which ends at `end`, however much it is, and the tick of what comes after it.
    async fn log_tick(
        &self,
        wanted: FromTick<'_>,
        after: Position,
        edge: TickEdge,
        end: Micros,
    ) -> Result<(LogPage, Option<Micros>), ReadError> {
        let bounds = self.log.tick_bounds(wanted.module, end, wanted.purpose);
        let last = edge.edge.last;
        let through = bounds.await?.after.min(last);
        let tick = self.log_page(wanted, after, through, u32::MAX).await?;
        let later = self.log_page(wanted, through, last, 1).await?.changes;
        let next = later.first();
        let next = next.map(|change| wanted.tick.begin(change.sequenced_at));
        Ok((tick, next))
    }

    async fn log_page(
        &self,
        wanted: FromTick<'_>,
        after: Position,
        through: Position,
        limit: u32,
    ) -> Result<LogPage, ReadError> {
        let read = ChannelRead {
            module: wanted.module,
            audiences: wanted.audiences,
            after,
            through,
            limit,
        };
        Ok(self.log.read_log(read, wanted.purpose).await?)
    }
}

/// If `limit` rows are all of one tick, its end: there may be more of it. Only ticks that were numbered before the
/// module had a time cursor hold more than its pace allows.
fn overfull(changes: &[Arc<Change>], limit: u32, tick: Tick) -> Option<Micros> {
    let (first, last) = (changes.first()?, changes.last()?);
    let end = tick.end(first.sequenced_at);
    (changes.len() >= as_count(limit) && last.sequenced_at < end).then_some(end)
}

/// Rows that were pruned are not younger than the oldest one that is promised, but may be of its tick.
fn too_old(bounds: &TickBounds, from: Micros, tick: Tick) -> Option<TickReading> {
    if from <= bounds.lost_through && bounds.lost_through > Micros::default() {
        // The client may hold what is lost, or is about to read the state, which then lies above its cursor.
        return Some(TickReading::TooOld { from });
    }
    let pruned = bounds.retained_from > Position::ZERO.next();
    let began = Some(bounds.lost_through).filter(|at| *at > Micros::default());
    let oldest = bounds.oldest.or(began);
    let reaches_back = oldest.is_some_and(|oldest| tick.begin(oldest) < from);
    (pruned && !reaches_back).then_some(TickReading::TooOld { from })
}

fn found(
    wanted: FromTick<'_>,
    changes: Vec<Arc<Change>>,
    next: Option<Micros>,
    edge: TickEdge,
    class: Class,
) -> TicksFound {
    TicksFound {
        changes,
        // Another replica may have closed more ticks already.
        cursor: next.unwrap_or(edge.open).max(wanted.from),
        cut: next.is_some(),
        edge,
        class,
    }
}

fn as_count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
