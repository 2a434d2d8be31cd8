//! From the lanes to the lines: whose turn it is, and what is sent.
//!
//! Invariants: at most `mirror.inflight` publishes are outstanding on all lines together, on each no more than its share and
//! than the broker takes, and in a second no more than the rate; the lanes take turns on each line, so one that is far
//! behind holds up no other, and a line that stands still holds up no other line.

use std::time::Instant;

use super::{Publisher, fitting::Fitting, jobs::MirrorStore};
use crate::mirror::{lane::Lane, ledger::Sending, message::event};

/// Changes that one lane sends before the next one has its turn.
const QUANTUM: usize = 64;

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Hands over as much as the windows allow.
    pub(super) fn feed(&mut self) {
        if self.pace.is_some() || self.bookmark_waits {
            // Else the lanes would leave nothing for them.
            self.send_bookmarks(Instant::now());
        }
        let lines = self.lines.len();
        let mut fed = false;
        for offset in 0..lines {
            let on = (self.turn + offset) % lines;
            if self.window(on).is_some() {
                fed = true;
                self.feed_line(on);
            }
        }
        if fed {
            self.ask_database();
        }
    }

    /// How many publishes a line takes; `None` while it is not connected.
    fn capacity(&self, on: usize) -> Option<usize> {
        let line = &self.lines[on];
        Some(line.caution.within(line.admitted()?.window))
    }

    /// How many publishes may be outstanding on a line now; `None` while nothing may be sent.
    fn window(&self, on: usize) -> Option<usize> {
        let capacity = self.capacity(on)?;
        (self.may_send() && Instant::now() >= self.feed_after).then_some(capacity)
    }

    /// How many more that are.
    pub(super) fn room(&self, on: usize) -> Option<usize> {
        self.window(on)?;
        Some(self.spare(on))
    }

    /// How many more publishes a line would take, whether or not they may be sent.
    pub(super) fn spare(&self, on: usize) -> usize {
        let capacity = self.capacity(on).unwrap_or(0);
        capacity.saturating_sub(self.ledger.outstanding_on(on))
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

    fn feed_line(&mut self, on: usize) {
        if self.probe(on) {
            return;
        }
        let mut passed = 0;
        while passed < self.lanes.len() {
            let room = self.room(on).unwrap_or(0).min(self.paced_room());
            if room == 0 {
                break;
            }
            let at = self.lines[on].turn % self.lanes.len();
            self.lines[on].turn = at + 1;
            passed = if self.feed_lane(at, on, room.min(QUANTUM)) {
                0
            } else {
                passed + 1
            };
        }
    }

    /// If a lane's next change on a line is under suspicion of ending the connections, sends it alone.
    /// Returns whether the others must wait.
    fn probe(&mut self, on: usize) -> bool {
        let Some(admitted) = self.lines[on].admitted_mut() else {
            return false;
        };
        if let Some(alone) = admitted.alone {
            if self.ledger.oldest_on(on, alone).is_some() {
                return true;
            }
            admitted.alone = None;
            if let (Some(prefix), Some(lane)) = (self.ledger.prefix(alone), self.lane_mut(alone)) {
                lane.progress(prefix);
            }
        }
        let now = Instant::now();
        let to_be_probed =
            |lane: &Lane| lane.is_suspect(on) && lane.cleared && !lane.ways[on].trouble.rests(now);
        let Some(at) = self.lanes.iter().position(to_be_probed) else {
            return false;
        };
        if self.ledger.outstanding_on(on) > 0
            || self.paced_room() == 0
            || self.asks_for_proof(at, on, now)
        {
            return true;
        }
        let id = self.lanes[at].id;
        let sent = self.feed_lane(at, on, 1);
        let admitted = self.lines[on].admitted_mut();
        if let Some(admitted) = admitted.filter(|_| sent) {
            admitted.alone = Some(id);
        }
        let lane = self.lanes.get(at);
        sent || lane.is_some_and(|lane| lane.wants_database.is_some())
    }

    /// Sends up to `most` changes of a lane over a line. Returns whether it sent any.
    fn feed_lane(&mut self, at: usize, on: usize, most: usize) -> bool {
        let lane = &self.lanes[at];
        let ours = || self.sources.leadership.lease(&lane.module).as_ref() == Some(&lane.lease);
        let disputed = || self.sources.witnesses.are_open(&lane.module);
        let now = Instant::now();
        let rests = || lane.ways[on].trouble.rests(now);
        // Whose the topics are is known once the broker has shown who was there last.
        let unknown = || !self.has_shown(&lane.module, now);
        if lane.is_halted() || !lane.cleared || rests() || !ours() || disputed() || unknown() {
            return false;
        }
        if lane.ways[on].queue.is_empty() {
            self.refill(at);
        }
        let mut sent = 0;
        while sent < most && self.send_next(at, on) {
            sent += 1;
        }
        self.lanes[at].published.increment(sent as u64);
        sent > 0
    }

    /// Sends the first change that waits for a line. False if there is none or it cannot be sent.
    fn send_next(&mut self, at: usize, on: usize) -> bool {
        let Some(change) = self.lanes[at].ways[on].queue.front().cloned() else {
            return false;
        };
        let fitting = match self.fit(at, on, &change) {
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
        let Some(connection) = &self.lines[on].connection else {
            return false;
        };
        let (link, bytes) = (&connection.link, payload.len());
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
        lane.ways[on].queue.pop_front();
        lane.usage.push.messages.add(bytes);
        if let Some(why) = pointer {
            lane.count_pointer(&self.target.name, change.cursor(), why);
        }
        let (id, cursor) = (lane.id, change.cursor());
        let queued = self.ledger.queue(on, Sending::Change { lane: id, cursor });
        if !queued {
            tracing::error!(broker = %self.target.name, module = %lane.module, %cursor, "a change was sent out of turn: beginning again at the cursor");
            self.lose(on, "the ledger and the lane disagree");
        }
        queued
    }
}
