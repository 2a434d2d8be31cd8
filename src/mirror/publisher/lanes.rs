//! Which modules a publisher mirrors: those of its target whose lease this replica holds.

use std::{sync::Arc, time::Instant};

use super::{
    Publisher,
    jobs::{Kind, Loaded, MirrorStore},
};
use crate::{
    domain::ModuleName,
    mirror::{history::History, lane::Lane, ledger::LaneId, line::FIRST_LINE},
};

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Closes the lanes whose lease is gone, and asks for the cursors of modules that have none.
    pub(super) fn follow_leases(&mut self, now: Instant) {
        let leadership = Arc::clone(&self.sources.leadership);
        let lost = self.lanes.iter();
        let lost = lost.filter(|lane| !leadership.keeps(&lane.lease));
        let lost: Vec<_> = lost.map(|lane| lane.id).collect();
        for lane in lost {
            self.close_lane(lane);
        }
        for lane in &mut self.lanes {
            lane.leaving = leadership.lease(&lane.module).is_none();
        }
        if !self.may_follow() || !self.jobs.may(Kind::Load, now) {
            return;
        }
        let has_lane = |module: &ModuleName| self.lanes.iter().any(|lane| lane.module == *module);
        let without = self.modules.iter().filter(|module| !has_lane(module));
        let leases: Vec<_> = without
            .filter_map(|module| leadership.lease(module))
            .collect();
        if !leases.is_empty() {
            self.jobs.load(leases, self.settings.batch);
        }
    }

    /// Ends the lanes that are handed over, once everything that was sent is acknowledged and written down.
    pub(super) fn let_go(&mut self) {
        let leaving = self.lanes.iter().filter(|lane| lane.leaving);
        let settled = leaving.filter(|lane| !self.is_under_way(lane));
        let settled: Vec<_> = settled.map(|lane| lane.id).collect();
        let mut unwritten = false;
        for id in settled {
            let prefix = self.ledger.prefix(id);
            let dirty = |lane: &mut Lane| prefix.is_some_and(|prefix| lane.is_dirty(prefix));
            if self.lane_mut(id).is_some_and(dirty) {
                unwritten = true;
            } else {
                self.close_lane(id);
            }
        }
        if unwritten && self.jobs.may(Kind::Write, Instant::now()) {
            self.write();
        }
    }

    /// Whether the broker may still acknowledge something of the lane. What a lost line had will not be.
    fn is_under_way(&self, lane: &Lane) -> bool {
        let on_first = self.lines[FIRST_LINE].connection.is_some();
        let mut lines = 0..self.lines.len();
        lines.any(|on| self.ledger.oldest_on(on, lane.id).is_some())
            || (lane.bookmark.outstanding && on_first)
    }

    /// Ends a lane.
    pub(super) fn close_lane(&mut self, id: LaneId) {
        self.ledger.close(id);
        if let Some(at) = self.lanes.iter().position(|lane| lane.id == id) {
            let lane = self.lanes.remove(at);
            lane.lag_seconds.set(0.0);
            lane.is_kept_off.set(0.0);
            self.hand_over_claim(&lane.module);
            tracing::info!(broker = %self.target.name, module = %lane.module, "no longer mirroring this module");
        }
    }

    /// Begins to mirror a module, unless its lease is gone meanwhile.
    pub(super) fn open_lane(&mut self, loaded: Loaded) {
        let Loaded {
            lease,
            row,
            created,
        } = loaded;
        let stay = self.sources.leadership.stay(&lease);
        let Some(stay) = stay.filter(|_| self.may_follow()) else {
            return;
        };
        self.lanes_opened += 1;
        let id = LaneId(self.lanes_opened);
        let prefix = row.cursor;
        self.ledger.open(id, prefix);
        let history = History::new(
            self.settings.replay_on_reconnect.get(),
            Instant::now(),
            prefix,
        );
        tracing::info!(broker = %self.target.name, module = %row.module, cursor = %prefix, created, "mirroring this module");
        let usage = self.sources.usage.of_module(&row.module);
        let lane = Lane::new(
            id,
            &self.target.name,
            (lease, stay),
            row,
            created,
            history,
            self.lines.len(),
        );
        self.lanes.push(lane.counting(usage));
    }

    /// A lane, if it is open still.
    pub(super) fn lane_mut(&mut self, id: LaneId) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.id == id)
    }
}
