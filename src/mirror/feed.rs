//! From the lanes to the connection: whose turn it is, and what is sent.
//!
//! Invariants: at most `mirror.inflight` publishes are outstanding, and no more than the broker
//! takes; the lanes take turns, so one that is far behind holds up no other.

use std::{sync::Arc, time::Instant};

use super::{
    binary_event, event,
    jobs::{Asked, Kind, MirrorStore, Rows},
    ledger::{LaneId, Sending},
    publisher::Publisher,
    topic,
};
use crate::{
    config::targets::Encoding,
    domain::{Change, Cursor},
    log::TailRead,
};

/// Changes that one lane sends before the next one has its turn.
const QUANTUM: usize = 64;

/// Memory that is taken at once for encoded events.
const SCRATCH_BYTES: usize = 64 * 1024;

/// A publish packet's bytes besides topic and payload, rounded up.
const PACKET_FRAME_BYTES: usize = 128;

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Hands over as much as the window allows.
    pub(super) fn feed(&mut self) {
        let Some(window) = self.window() else {
            return;
        };
        if self.probe() {
            return;
        }
        let mut passed = 0;
        while passed < self.lanes.len() {
            let Some(room) = window
                .checked_sub(self.ledger.outstanding())
                .filter(|room| *room > 0)
            else {
                break;
            };
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
        (self.may_send() && Instant::now() >= admitted.feed_after).then_some(admitted.window)
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
        let Some(at) = self
            .lanes
            .iter()
            .position(|lane| lane.is_suspect() && lane.cleared)
        else {
            return false;
        };
        if self.ledger.outstanding() > 0 {
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
        if lane.halted.is_some() || !lane.cleared || !ours() || disputed() {
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
        let topic = self.topics.channel(&lane.module, &change.audience);
        if self.scratch.capacity() < change.value.as_str().len() + SCRATCH_BYTES / 16 {
            self.scratch.reserve(SCRATCH_BYTES);
        }
        let attributes = self.encode(at, &change);
        let payload = self.scratch.split().freeze();
        let size = payload.len() + attributes.as_ref().map_or(0, binary_event::size);
        if let Some(reason) = self.cannot_be_sent(&change, &topic, size) {
            self.lanes[at].halt(&self.target.name, reason);
            return false;
        }
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
        let lane = &mut self.lanes[at];
        lane.buffer.pop_front();
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

    /// Writes the payload of a change; in binary mode its event's attributes stand beside it.
    fn encode(&mut self, at: usize, change: &Change) -> Option<binary_event::Attributes> {
        let module = &self.lanes[at].module;
        match self.target.encoding {
            Encoding::Structured => {
                event::encode(module, change, &mut self.scratch);
                None
            }
            Encoding::Binary => {
                let value = change.value.as_str().as_bytes();
                self.scratch.extend_from_slice(value);
                Some(binary_event::attributes(module, change))
            }
        }
    }

    /// Why the broker would refuse the change, of so many bytes, however often it is sent.
    fn cannot_be_sent(&self, change: &Change, topic: &str, bytes: usize) -> Option<String> {
        let position = change.position;
        if topic.len() > topic::MAX_BYTES {
            return Some(format!(
                "position {position}: its topic has {} bytes, more than MQTT can carry",
                topic.len()
            ));
        }
        let admitted = self.connection.as_ref()?.admitted.as_ref()?;
        let most = usize::try_from(admitted.max_packet_bytes?).unwrap_or(usize::MAX);
        let size = topic.len() + bytes + PACKET_FRAME_BYTES;
        (size > most).then(|| {
            format!("position {position}: its message has about {size} bytes, the broker takes packets of at most {most}: raise the broker's limit, then restart")
        })
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

    /// A connection is over: notes which changes it left behind, and blames the one that was sent
    /// alone.
    pub(super) fn note_stalls(&mut self, alone: Option<LaneId>, reason: &str) {
        for lane in &mut self.lanes {
            let Some((oldest, _)) = self.ledger.oldest(lane.id) else {
                continue;
            };
            lane.trouble.stall(oldest);
            if alone == Some(lane.id) && lane.trouble.refuse(oldest) >= self.settings.refusal_tries
            {
                lane.halt(
                    &self.target.name,
                    format!(
                        "position {}: the connection ends whenever it is sent: {reason}",
                        oldest.position
                    ),
                );
            }
        }
    }
}
