//! From the lanes to the connection: whose turn it is, and what is sent.
//!
//! Invariants: at most `mirror.inflight` publishes are outstanding, and no more than the broker
//! takes, at once and in a second; the lanes take turns, so one that is far behind holds up no other.

use std::{sync::Arc, time::Instant};

use super::{
    event,
    fitting::Fitting,
    jobs::{Asked, Kind, MirrorStore, Rows},
    lane::Lane,
    ledger::Sending,
    publisher::Publisher,
};
use crate::{
    domain::{Change, Cursor},
    log::TailRead,
};

/// Changes that one lane sends before the next one has its turn.
const QUANTUM: usize = 64;

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Hands over as much as the window allows.
    pub(super) fn feed(&mut self) {
        let Some(window) = self.window() else {
            return;
        };
        if self.pace.is_some() {
            // Else the lanes would leave nothing for them.
            self.send_bookmarks(Instant::now());
        }
        if self.probe() {
            return;
        }
        let mut passed = 0;
        while passed < self.lanes.len() {
            let room = window.saturating_sub(self.ledger.outstanding());
            let room = room.min(self.paced_room());
            if room == 0 {
                break;
            }
            let at = self.turn % self.lanes.len();
            self.turn = at + 1;
            passed = if self.feed_lane(at, room.min(QUANTUM)) {
                0
            } else {
                passed + 1
            };
        }
        self.ask_database();
    }

    /// How many publishes may be outstanding now; `None` while nothing may be sent.
    pub(super) fn window(&self) -> Option<usize> {
        let admitted = self.connection.as_ref()?.admitted.as_ref()?;
        let window = self.caution.within(admitted.window);
        (self.may_send() && Instant::now() >= admitted.feed_after).then_some(window)
    }

    /// How many publishes the rate leaves now.
    pub(super) fn paced_room(&mut self) -> usize {
        let pace = self.pace.as_mut();
        pace.map_or(usize::MAX, |pace| pace.room(Instant::now()))
    }

    /// One publish has gone.
    pub(super) fn note_pace(&mut self) {
        if let Some(pace) = &mut self.pace {
            pace.take();
        }
    }

    /// If a lane's next change is under suspicion of ending the connections, sends it alone.
    /// Returns whether the others must wait.
    fn probe(&mut self) -> bool {
        let Some(admitted) = self.connection.as_mut().and_then(|c| c.admitted.as_mut()) else {
            return false;
        };
        if let Some(alone) = admitted.alone {
            if self.ledger.oldest(alone).is_some() {
                return true;
            }
            admitted.alone = None;
            if let (Some(prefix), Some(lane)) = (self.ledger.prefix(alone), self.lane_mut(alone)) {
                lane.trouble.progress(prefix);
            }
        }
        let now = Instant::now();
        let to_be_probed =
            |lane: &Lane| lane.is_suspect() && lane.cleared && !lane.trouble.rests(now);
        let Some(at) = self.lanes.iter().position(to_be_probed) else {
            return false;
        };
        if self.ledger.outstanding() > 0 || self.paced_room() == 0 || self.asks_for_proof(at, now) {
            return true;
        }
        let id = self.lanes[at].id;
        let sent = self.feed_lane(at, 1);
        if let Some(admitted) = self
            .connection
            .as_mut()
            .and_then(|c| c.admitted.as_mut())
            .filter(|_| sent)
        {
            admitted.alone = Some(id);
        }
        self.ask_database();
        sent || self
            .lanes
            .get(at)
            .is_some_and(|lane| lane.wants_database.is_some())
    }

    /// Sends up to `most` changes of a lane. Returns whether it sent any.
    fn feed_lane(&mut self, at: usize, most: usize) -> bool {
        let lane = &self.lanes[at];
        let ours = || self.sources.leadership.lease(&lane.module).as_ref() == Some(&lane.lease);
        let disputed = || self.sources.witnesses.are_open(&lane.module);
        let rests = || lane.trouble.rests(Instant::now());
        if lane.is_halted() || !lane.cleared || rests() || !ours() || disputed() {
            return false;
        }
        if lane.buffer.is_empty() {
            self.refill(at);
        }
        let mut sent = 0;
        while sent < most && self.send_next(at) {
            sent += 1;
        }
        self.lanes[at].published.increment(sent as u64);
        sent > 0
    }

    fn refill(&mut self, at: usize) {
        let lane = &mut self.lanes[at];
        let limit = usize::try_from(self.settings.batch).unwrap_or(usize::MAX);
        match self
            .sources
            .tail
            .read_all(&lane.module, lane.read_to.position, limit)
        {
            Some(TailRead::Found { changes, .. }) => lane.take_in(changes),
            Some(TailRead::Older(edge)) => {
                lane.wants_database = Some(Cursor::new(edge.epoch, edge.covers_after));
            }
            // The tail is behind the cursor for a moment after a take-over.
            Some(TailRead::Above(_)) | None => {}
        }
    }

    /// Sends the first change of a lane's buffer. False if there is none or it cannot be sent.
    fn send_next(&mut self, at: usize) -> bool {
        let lane = &self.lanes[at];
        let Some((after, change)) = lane.buffer.front().cloned() else {
            return false;
        };
        let fitting = match self.fit(at, &change) {
            Ok(fitting) => fitting,
            Err(reason) => {
                self.halt(at, change.cursor(), reason);
                return false;
            }
        };
        let Fitting {
            topic,
            payload,
            attributes,
            pointer,
        } = fitting;
        let Some(connection) = &self.connection else {
            return false;
        };
        let link = &connection.link;
        let handed = match attributes {
            Some(attributes) => link.publish_binary(&topic, payload, attributes),
            None => link.publish(&topic, payload, false, event::CONTENT_TYPE),
        };
        if handed.is_err() {
            // The reason comes with the last signal of the connection.
            return false;
        }
        self.note_pace();
        let lane = &mut self.lanes[at];
        lane.buffer.pop_front();
        if let Some(why) = pointer {
            lane.count_pointer(&self.target.name, change.cursor(), why);
        }
        let queued = self.ledger.queue(Sending::Change {
            lane: lane.id,
            cursor: change.cursor(),
            after,
            sequenced_at: change.sequenced_at,
        });
        if !queued {
            tracing::error!(broker = %self.target.name, module = %lane.module, %after, "a change was passed over: beginning again at the cursor");
            self.lose("the ledger and the lane disagree");
        }
        queued
    }

    fn ask_database(&mut self) {
        let wanted = self.lanes.iter().filter_map(|lane| {
            Some(Asked {
                lane: lane.id,
                module: lane.module.clone(),
                after: lane.read_to.position,
                tail_begins: lane.wants_database?,
            })
        });
        let asked: Vec<_> = wanted.collect();
        if !asked.is_empty() && self.jobs.may(Kind::Read, Instant::now()) {
            self.jobs.read(asked, self.settings.batch);
        }
    }

    /// Takes rows that the tail did not have any more.
    pub(super) fn take_rows(&mut self, asked: Vec<Asked>, mut rows: Rows) {
        let mut idle = true;
        for one in asked {
            let changes = rows.by_module.remove(&one.module).unwrap_or_default();
            idle &= changes.is_empty();
            let pruned = rows.pruned.contains(&one.module);
            self.take_rows_of(&one, changes, pruned);
        }
        if idle {
            self.jobs.rest(Kind::Read);
        }
    }

    fn take_rows_of(&mut self, asked: &Asked, changes: Vec<Arc<Change>>, pruned: bool) {
        let nothing_outstanding = self.ledger.oldest(asked.lane).is_none();
        let name = self.target.name.clone();
        let Some(lane) = self.lane_mut(asked.lane) else {
            return;
        };
        // A reconnect in between has set the lane back: it will ask again.
        let unchanged = lane.read_to.position == asked.after && lane.buffer.is_empty();
        if lane.wants_database.take().is_none() || !unchanged {
            return;
        }
        let next = changes.first().map(|change| change.cursor());
        let goes_on = next.or(nothing_outstanding.then_some(asked.tail_begins));
        if let Some(next) = goes_on.filter(|_| pruned) {
            lane.skip(&name, next);
        }
        if changes.is_empty() && nothing_outstanding {
            // All that lies before the tail is gone from the log: go on where the tail begins.
            let (id, to) = (lane.id, asked.tail_begins);
            lane.restart(to);
            self.ledger.open(id, to);
        } else {
            lane.take_in(changes);
        }
    }
}
