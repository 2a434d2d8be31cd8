//! One module on one target: which changes its subscriber should receive, and what came of them.
//!
//! Invariant: nothing is called a fault that a broker's restart, a reconnect on either side, a replay, a pruned
//! tail, a new epoch or another holder of the lease explains. What cannot be judged is counted as unobserved.

mod hearing;
mod reading;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    Outcome, Problem, received::Received, sampler::Share, sight::Sight, tally::Tally,
    window::Window,
};
use crate::{
    domain::{Cursor, Epoch, Micros, ModuleName, Position},
    log::Edge,
    mirror::{ModuleStatus, history::History},
};

/// From where on what is published must arrive.
#[derive(Debug, Clone, Copy)]
enum Begin {
    /// Nobody listens.
    Never,
    /// Somebody began to listen when so much was acknowledged and so much was in the log. The first event
    /// shows how far the publisher was.
    Between(Position, Position),
    /// Above this.
    Above(Position),
}

impl Begin {
    fn expects(self, position: Position) -> bool {
        match self {
            Self::Never => false,
            Self::Between(_, head) => position > head,
            Self::Above(begin) => position > begin,
        }
    }
}

/// What makes the publisher send again: connection number, stay of the module, generation.
type Run = (u64, u64, u64);

/// A repeat that nothing explains yet.
#[derive(Debug, Clone, Copy)]
struct Suspicion {
    position: Position,
    first_came: Instant,
    since: Instant,
    at: Micros,
}

/// The publisher says that it began again within this time, or it did not.
const REPORTED_AFTER: Duration = Duration::from_secs(1);

/// Events beyond the log that wait for it; more are foreign at once.
const STRANGERS: usize = 256;

pub(super) struct Watch {
    module: ModuleName,
    epoch: Epoch,
    /// When the epoch and the lease were ours first.
    since: Instant,
    window: Window,
    begin: Begin,
    /// The log was read up to here.
    read_to: Position,
    acknowledged: Cursor,
    /// What was acknowledged when, over `missing_after_ms`.
    history: History,
    run: Run,
    run_since: Instant,
    strangers: VecDeque<(Instant, Received)>,
    suspicion: Option<Suspicion>,
    /// Up to where changes are overdue, while it is asked whether the connection lives.
    overdue: Option<Position>,
    share: Share,
    /// A smaller share held when the log was read up to here.
    narrower: (Position, Share),
}

impl Watch {
    /// A watch over a module that this replica has begun to mirror.
    pub(super) fn new(
        module: &ModuleName,
        edge: Edge,
        status: &ModuleStatus,
        connections: u64,
        share: Share,
        sight: &Sight<'_>,
    ) -> Self {
        let acknowledged = status.acknowledged;
        let read_to = acknowledged.position.min(edge.last);
        Self {
            module: module.clone(),
            epoch: edge.epoch,
            since: sight.now,
            window: Window::new(sight.settings.window, read_to),
            begin: Begin::Never,
            read_to,
            acknowledged,
            history: History::new(sight.grace(), sight.now, acknowledged),
            run: (connections, status.stay, status.generation),
            run_since: sight.now,
            strangers: VecDeque::new(),
            suspicion: None,
            overdue: None,
            share,
            narrower: (Position::ZERO, share),
        }
    }

    /// The subscription stands: what is published from now on must arrive.
    pub(super) fn begin(&mut self, sight: &Sight<'_>) {
        let head = sight.tail.edge(&self.module).map(|edge| edge.last);
        let head = head.unwrap_or(self.read_to);
        self.begin = Begin::Between(self.acknowledged.position.min(head), head);
        self.history = History::new(sight.grace(), sight.now, self.acknowledged);
        self.overdue = None;
    }

    /// The connection is gone, and with it what was on its way.
    pub(super) fn end(&mut self, tally: &mut Tally) {
        tally.count(Outcome::Unobserved, self.window.give_up());
        self.begin = Begin::Never;
        self.overdue = None;
    }

    /// Looks at the log and at the publisher.
    pub(super) fn look(
        &mut self,
        status: &ModuleStatus,
        connections: u64,
        sight: &Sight<'_>,
        tally: &mut Tally,
    ) {
        if let Some(edge) = sight.tail.edge(&self.module)
            && edge.epoch != self.epoch
        {
            self.begin_epoch(edge, sight, tally);
        }
        let run = (connections, status.stay, status.generation);
        if run != self.run || status.acknowledged < self.acknowledged {
            (self.run, self.run_since) = (run, sight.now);
        }
        self.acknowledged = status.acknowledged;
        self.history.note(sight.now, self.acknowledged);
        if self.acknowledged.epoch == self.epoch {
            self.read(self.acknowledged.position, sight, tally);
        }
        self.hear_strangers(sight, tally);
        self.settle_suspicion(sight, tally);
    }

    fn begin_epoch(&mut self, edge: Edge, sight: &Sight<'_>, tally: &mut Tally) {
        tally.count(Outcome::Unobserved, self.window.give_up());
        self.window = Window::new(sight.settings.window, edge.last);
        (self.epoch, self.since, self.read_to) = (edge.epoch, sight.now, edge.last);
        if !matches!(self.begin, Begin::Never) {
            self.begin = Begin::Above(edge.last);
        }
        self.overdue = None;
    }

    /// Compares another share of the channels from now on.
    pub(super) fn compare(&mut self, share: Share) {
        if share > self.share {
            self.window.narrow(share);
        } else {
            self.narrower = (self.read_to, self.narrower.1.max(self.share));
        }
        self.share = share;
    }

    /// Whether an event of this channel has to be read.
    pub(super) fn compares(&self, channel: u64) -> bool {
        self.share.holds(channel) || matches!(self.begin, Begin::Between(..))
    }

    fn share_at(&self, position: Position) -> Share {
        let (up_to, narrower) = self.narrower;
        if position <= up_to {
            narrower.max(self.share)
        } else {
            self.share
        }
    }

    /// Notes what is overdue. True if there is something: then it is to be asked whether the connection
    /// lives, because what was delivered may be on its way.
    pub(super) fn is_overdue(&mut self, sight: &Sight<'_>) -> bool {
        let Some(before) = self.history.before(sight.now) else {
            return false;
        };
        let line = before.min(self.acknowledged);
        let waits = line.epoch == self.epoch && self.window.waits_below(line.position);
        self.overdue = waits.then_some(line.position);
        waits
    }

    /// The connection lives: what was overdue when it was asked is missing.
    pub(super) fn miss(&mut self, sight: &Sight<'_>, tally: &mut Tally) {
        let Some(line) = self.overdue.take() else {
            return;
        };
        if let Some((count, first)) = self.window.miss(line) {
            tally.count(Outcome::Missing, count);
            tally.complain(Problem {
                outcome: Outcome::Missing,
                position: Some(first),
                at: sight.time,
                detail: format!(
                    "the broker acknowledged it and has not delivered it within {} ms; {count} such changes up to {line}",
                    sight.settings.missing_after_ms
                ),
            });
        }
    }
}

#[cfg(test)]
#[path = "../watch_tests.rs"]
mod tests;
