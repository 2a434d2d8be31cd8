//! How changes are spread over ticks in modules with a time cursor.
//!
//! Invariants: no tick holds more changes than its module's pace allows, whoever numbers; a row never
//! gets a time below what was promised as closed.
//!
//! A page never splits a tick, so a tick is bounded: what comes above the bound gets the time of the next tick,
//! and the log's time runs ahead of the clock. A tick is closed at once when it is full; else as soon as
//! a tick's length has passed since one was closed early. So a lone change is served at once, and many do not
//! drive the log's time away from the clock: while it is ahead by more than a tick, each tick stays open twice
//! as long, until the clock has caught up.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{
    domain::{Micros, ModuleName, Pace},
    store::{Closed, FencedHead},
};

/// The tick that a module's last row went into, as long as this replica is the module's writer without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    begin: Micros,
    rows: u32,
    closed: bool,
}

/// What is remembered of one module.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    open: Option<Open>,
    /// When the next tick may be closed before it is full and before the clock has passed it.
    may_close_at: Option<Instant>,
}

impl Memory {
    fn may_close(&self, now: Instant) -> bool {
        self.may_close_at.is_none_or(|at| now >= at)
    }
}

/// The paces of the modules with a time cursor, and where each one's ticks stand.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    paces: HashMap<ModuleName, Pace>,
    memories: HashMap<ModuleName, Memory>,
}

/// Gives one batch of a module its times. Without a pace all get the same.
#[derive(Debug, Clone)]
pub(super) struct TickWriter {
    pace: Option<Pace>,
    at: Micros,
    rows: u32,
    written: bool,
    memory: Memory,
}

impl Pacing {
    pub(super) fn new(paces: HashMap<ModuleName, Pace>) -> Self {
        Self {
            paces,
            memories: HashMap::new(),
        }
    }

    pub(super) fn is_paced(&self, module: &ModuleName) -> bool {
        self.paces.contains_key(module)
    }

    /// Begins to give times, behind the fence that has read `head`.
    pub(super) fn writer(&self, head: &FencedHead, now: Micros) -> TickWriter {
        let at = now.max(head.sequenced_through);
        let pace = self.paces.get(&head.module).copied();
        let memory = self.memories.get(&head.module).copied().unwrap_or_default();
        let rows = pace.map_or(0, |pace| {
            let begin = pace.tick.begin(at);
            match memory.open {
                Some(open) if open.begin == begin => open.rows,
                // Somebody else may have filled it.
                None if pace.tick.begin(head.sequenced_through) == begin => pace.changes,
                Some(_) | None => 0,
            }
        });
        TickWriter {
            pace,
            at,
            rows,
            written: false,
            memory,
        }
    }

    /// After the confirmed commit of what a writer gave times to.
    pub(super) fn written(&mut self, module: &ModuleName, writer: &TickWriter) {
        if writer.written {
            self.memories.insert(module.clone(), writer.memory);
        }
    }

    /// Up to where a module's ticks are to be closed: zero if the clock will do.
    pub(super) fn due(&self, module: &ModuleName, now: Instant) -> Micros {
        let due = || {
            let memory = self.memories.get(module)?;
            let open = memory.open.filter(|open| !open.closed)?;
            let pace = self.paces.get(module)?;
            memory.may_close(now).then(|| pace.tick.end(open.begin))
        };
        due().unwrap_or_default()
    }

    /// What the database says is closed by now.
    pub(super) fn closed(&mut self, closed: &Closed, asked: Micros, now: Instant) {
        let Some(pace) = self.paces.get(&closed.module) else {
            return;
        };
        let memory = self.memories.entry(closed.module.clone()).or_default();
        let ahead = closed.through > closed.now;
        let open = memory.open.get_or_insert(Open {
            begin: pace.tick.begin(closed.through),
            rows: pace.changes,
            // Of a log that is ahead of the clock, the last tick may hold rows of the writer before.
            closed: !ahead,
        });
        open.closed |= closed.through >= pace.tick.end(open.begin);
        if asked > closed.now {
            memory.may_close_at = Some(now + hold(*pace, closed.through, closed.now));
        }
    }

    /// Nothing is known any more: the next row begins a tick of its own, if it must.
    pub(super) fn forget(&mut self) {
        self.memories.clear();
    }
}

impl TickWriter {
    pub(super) const fn is_paced(&self) -> bool {
        self.pace.is_some()
    }

    /// The time of the next row.
    pub(super) fn next(&mut self) -> Micros {
        self.written = true;
        if let Some(pace) = self.pace {
            if self.rows >= pace.changes {
                self.at = pace.tick.end(self.at);
                self.rows = 0;
            }
            self.rows += 1;
        }
        self.at
    }

    /// After the last row: up to where the log is closed with this batch.
    pub(super) fn close(&mut self, clock: Micros, now: Instant) -> Micros {
        let Some(pace) = self.pace.filter(|_| self.written) else {
            return self.at;
        };
        let end = pace.tick.end(self.at);
        let full = self.rows >= pace.changes;
        let early = !full && self.memory.may_close(now);
        if early {
            self.memory.may_close_at = Some(now + hold(pace, end, clock));
        }
        self.memory.open = Some(Open {
            begin: pace.tick.begin(self.at),
            rows: self.rows,
            closed: full || early,
        });
        if full || early { end } else { self.at }
    }
}

/// How long the next tick stays open at least, unless it is full.
fn hold(pace: Pace, through: Micros, clock: Micros) -> Duration {
    let length = pace.tick.length();
    if through.since(clock) > length {
        length * 2
    } else {
        length
    }
}

#[cfg(test)]
#[path = "pacing_tests.rs"]
mod tests;
