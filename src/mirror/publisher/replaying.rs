//! A broker that has lost its state gets the newest changes once more.
//!
//! Invariant: nothing is sent to it before its subscribers had time to come back, and `generation` grows, so that those
//! who lack something find out.

use std::time::{Duration, Instant};

use super::{Publisher, jobs::MirrorStore};
use crate::{
    domain::{Cursor, Position},
    log::TailRead,
    mirror::{history::History, ledger::LaneId, line::Line},
};

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// The broker does not know our session on a line any more. If it was set back since it was heard on that line, this
    /// is the same loss.
    pub(super) fn on_session_lost(&mut self, on: usize, lost_at: Instant, now: Instant) {
        let heard_at = self.lines[on].heard_at;
        if self.replayed_at.is_some_and(|replayed| heard_at < replayed) {
            return;
        }
        let lost_at = self.moment_of_loss(on, lost_at);
        self.replayed_at = Some(now);
        self.feed_after = now + Duration::from_millis(self.settings.settle_ms);
        let lanes: Vec<_> = self.lanes.iter().map(|lane| lane.id).collect();
        for lane in lanes {
            self.replay(lane, lost_at, "our session is gone");
        }
    }

    /// The latest moment at which the broker surely had its state: it may have been known later by other lines that are
    /// down now. Those that are up may lead to another node of it.
    fn moment_of_loss(&self, on: usize, lost_at: Instant) -> Instant {
        let others = self.lines.iter().enumerate();
        let down = |(at, other): &(usize, &Line)| *at != on && other.admitted().is_none();
        let kept = others.filter(down).map(|(_, other)| other.kept_at);
        kept.fold(lost_at, Instant::max)
    }

    /// Sets a lane back to what the broker had acknowledged a while before it was last known to have its state.
    pub(super) fn replay(&mut self, id: LaneId, lost_at: Instant, why: &str) {
        let name = self.target.name.clone();
        let span = self.settings.replay_on_reconnect.get();
        let young = self.first_younger(id, lost_at);
        let Some(prefix) = self.ledger.prefix(id) else {
            return;
        };
        let Some(lane) = self.lane_mut(id) else {
            return;
        };
        let mut from = lane.history.before(lost_at).unwrap_or(prefix).min(prefix);
        from = young.map_or(from, |young| from.min(young));
        lane.generation += 1;
        lane.cleared = true;
        lane.bookmark.outstanding = false;
        lane.bookmark.expected = None;
        lane.restart(from);
        lane.history = History::new(span, Instant::now(), from);
        tracing::warn!(broker = %name, module = %lane.module, why, %from, acknowledged = %prefix, generation = lane.generation, "the broker has lost its state: sending again");
        self.ledger.open(id, from);
    }

    /// The cursor before the first change that is younger than `replay_on_reconnect` at the moment of
    /// loss, as far as the tail knows.
    fn first_younger(&self, id: LaneId, lost_at: Instant) -> Option<Cursor> {
        let lane = self.lanes.iter().find(|lane| lane.id == id)?;
        let tail = &self.sources.tail;
        let edge = tail.edge(&lane.module)?;
        let TailRead::Found { changes, .. } =
            tail.read_all(&lane.module, edge.covers_after, usize::MAX)?
        else {
            return None;
        };
        let since = lost_at.elapsed() + self.settings.replay_on_reconnect.get();
        let oldest = self.sources.clock.now().minus(since);
        let first = changes
            .iter()
            .find(|change| change.sequenced_at >= oldest)?;
        let before = Position::new(first.position.get() - 1);
        Some(Cursor::new(first.epoch, before))
    }
}
