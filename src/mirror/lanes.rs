//! Which modules a publisher mirrors: those of its target whose lease this replica holds.

use std::{sync::Arc, time::Instant};

use super::{
    history::History,
    jobs::{Kind, Loaded, MirrorStore},
    lane::Lane,
    ledger::LaneId,
    publisher::Publisher,
};
use crate::domain::ModuleName;

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Closes the lanes whose lease is gone, and asks for the cursors of modules that have none.
    pub(super) fn follow_leases(&mut self, now: Instant) {
        let leadership = Arc::clone(&self.sources.leadership);
        let ours = |lane: &Lane| leadership.lease(&lane.module).as_ref() == Some(&lane.lease);
        let lost: Vec<_> = self
            .lanes
            .iter()
            .filter(|lane| !ours(lane))
            .map(|lane| lane.id)
            .collect();
        for lane in lost {
            self.close_lane(lane);
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

    /// Ends a lane.
    pub(super) fn close_lane(&mut self, id: LaneId) {
        self.ledger.close(id);
        if let Some(at) = self.lanes.iter().position(|lane| lane.id == id) {
            let lane = self.lanes.remove(at);
            lane.lag_seconds.set(0.0);
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
        let ours = self.sources.leadership.lease(&lease.module);
        if ours.as_ref() != Some(&lease) || !self.may_follow() {
            return;
        }
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
        self.lanes.push(Lane::new(
            id,
            &self.target.name,
            lease,
            row,
            created,
            history,
            self.lines.len(),
        ));
    }

    /// A lane, if it is open still.
    pub(super) fn lane_mut(&mut self, id: LaneId) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.id == id)
    }
}
