//! A publisher follows its target's standing: a pause, a retirement, cursors that were set by hand; and after any act it
//! tries again what has halted.
//!
//! Invariants: no change is handed to the connection of a target that is not active; what was under way when it was paused
//! still moves the cursors, for `mirror.drain_ms`, while its clients are told (`farewell.rs`). A lane whose stored cursor was moved by somebody else is given up
//! without another word, and opened again where the store says.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Publisher,
    jobs::{Kind, MirrorStore},
};
use crate::{
    domain::Standing,
    mirror::target::{StandingChanges, Standings},
    store::MirrorCursor,
};

/// Where a publisher hears what is wanted of its target. Without standings it is always active.
#[derive(Default)]
pub(super) struct Orders {
    standings: Option<Arc<Standings>>,
    changes: Option<StandingChanges>,
    /// The version of the record that the stored cursors were compared under.
    compared: i64,
    /// The version of the record that what has halted was tried again under.
    tried: Option<i64>,
    /// Since when the target is not active.
    resting: Option<Instant>,
    /// Whether the broker was left since then.
    has_left: bool,
}

impl Orders {
    pub(super) fn new(standings: Arc<Standings>) -> Self {
        Self {
            changes: Some(standings.changes()),
            standings: Some(standings),
            ..Self::default()
        }
    }

    /// Returns after something has changed. Cancel-safe.
    pub(super) async fn next(&mut self) {
        match &mut self.changes {
            Some(changes) => changes.next().await,
            None => std::future::pending().await,
        }
    }

    /// The standing and its version; `None` while nobody knows.
    pub(super) fn standing(&self, target: &str) -> Option<(Standing, i64)> {
        match &self.standings {
            Some(standings) => standings.of(target),
            None => Some((Standing::Active, 0)),
        }
    }
}

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Follows these standings from now on.
    #[must_use]
    pub fn obeying(mut self, standings: Arc<Standings>) -> Self {
        self.orders = Orders::new(standings);
        self
    }

    fn standing(&self) -> Option<Standing> {
        let standing = self.orders.standing(&self.target.name);
        standing.map(|(standing, _)| standing)
    }

    /// Whether anything may be sent.
    pub(super) fn may_send(&self) -> bool {
        self.standing() == Some(Standing::Active)
    }

    /// Whether lanes may be open: those of a paused target tell how far behind it is.
    pub(super) fn may_follow(&self) -> bool {
        self.standing()
            .is_some_and(|standing| standing != Standing::Retired)
    }

    /// Does what the standing asks for.
    pub(super) fn obey(&mut self, now: Instant) {
        match self.standing() {
            Some(Standing::Active) => (self.orders.resting, self.orders.has_left) = (None, false),
            Some(standing) => self.rest(standing, now),
            None => {}
        }
        self.status.set_fed(self.may_send());
        self.try_halted_again(now);
        self.compare_cursors(now);
    }

    /// Leaves the broker, and the lanes of a retired one, once its clients were told and everything that was sent is
    /// acknowledged, or late.
    fn rest(&mut self, standing: Standing, now: Instant) {
        if self.orders.resting.is_none() && standing == Standing::Retired {
            tracing::warn!(broker = %self.target.name, "this target is retired, but still configured: nothing is sent to it");
        }
        let since = *self.orders.resting.get_or_insert(now);
        if !self.orders.has_left {
            if !self.say_farewell(since, now) {
                return;
            }
            self.orders.has_left = true;
            self.warn_of_untold(standing);
        }
        if self.has_connection() {
            tracing::info!(broker = %self.target.name, %standing, "left the broker");
            let patience = Duration::from_millis(self.settings.drain_ms);
            self.leave(patience).detach_all();
        }
        if standing == Standing::Retired {
            let lanes: Vec<_> = self.lanes.iter().map(|lane| lane.id).collect();
            for lane in lanes {
                self.close_lane(lane);
            }
        }
        for line in &mut self.lines {
            line.connect_at = now;
        }
    }

    /// Somebody has acted: what has halted need not rest any longer.
    fn try_halted_again(&mut self, now: Instant) {
        let standing = self.orders.standing(&self.target.name);
        let Some((Standing::Active, version)) = standing else {
            return;
        };
        let before = self.orders.tried.replace(version);
        if before.is_some_and(|before| before != version) {
            for lane in &mut self.lanes {
                lane.end_rest(now);
            }
            self.end_rests(now);
        }
    }

    /// Somebody has acted: asks for the stored cursors. Not while rows are being loaded, which may be those of before.
    fn compare_cursors(&mut self, now: Instant) {
        let Some((_, version)) = self.orders.standing(&self.target.name) else {
            return;
        };
        let free = self.jobs.may(Kind::Look, now) && !self.jobs.is_busy(Kind::Load);
        if version != self.orders.compared && free {
            self.orders.compared = version;
            self.jobs.look();
        }
    }

    /// Gives up the lanes whose cursors were set by hand. Nobody but this publisher and such an act makes a
    /// generation grow; if both did, the next write meets another version.
    pub(super) fn on_looked(&mut self, rows: &[MirrorCursor]) {
        let moved = |row: &&MirrorCursor| {
            let mut lanes = self.lanes.iter();
            lanes.any(|lane| lane.module == row.module && row.generation > lane.generation)
        };
        let moved: Vec<_> = rows
            .iter()
            .filter(moved)
            .map(|row| row.module.clone())
            .collect();
        for module in moved {
            tracing::warn!(broker = %self.target.name, %module, "the cursor was set by hand: going on from there");
            let lane = self.lanes.iter().find(|lane| lane.module == module);
            if let Some(id) = lane.map(|lane| lane.id) {
                self.close_lane(id);
            }
        }
    }

    /// The stored cursors could not be read: they are compared again.
    pub(super) fn on_unlooked(&mut self) {
        self.orders.compared = NEVER;
    }
}

/// No record has this version.
const NEVER: i64 = -1;
