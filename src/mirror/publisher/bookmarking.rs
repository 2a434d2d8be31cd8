//! When a module's retained message is published: on a connection's first occasion, after a burst, on a flip,
//! and at an interval. They go over the first line.
//!
//! Invariants: at most one per module is outstanding; it keeps within the window, like a change; its head was acknowledged
//! on whichever lines it went over.

use std::time::{Duration, Instant};

use super::{Publisher, jobs::MirrorStore};
use crate::mirror::{ledger::Sending, line::FIRST_LINE, message::bookmark};

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Publishes the retained messages that are due, as far as the window and the rate have room.
    pub(super) fn send_bookmarks(&mut self, now: Instant) {
        self.bookmark_waits = false;
        if self.room(FIRST_LINE).is_none() {
            return;
        }
        for at in 0..self.lanes.len() {
            if !self.bookmark_due(at, now) {
                continue;
            }
            if self.room(FIRST_LINE) == Some(0) {
                self.bookmark_waits = true;
                return;
            }
            if self.paced_room() > 0 {
                self.send_bookmark(at, FIRST_LINE, now);
            }
        }
    }

    /// At a clean stop: how far each module got, for whoever connects next. After a restore it may be the only
    /// witness. Returns how many were sent.
    pub(super) fn send_last_bookmarks(&mut self) -> usize {
        let now = Instant::now();
        let mut sent = 0;
        for at in 0..self.lanes.len() {
            let lane = &self.lanes[at];
            let told = lane.bookmark.sent.map(|(_, head, ..)| head);
            let moved = self.ledger.prefix(lane.id) != told;
            let room = self.room(FIRST_LINE).unwrap_or(0).min(self.paced_room());
            if moved && room > 0 && self.may_bookmark(at, now) {
                self.send_bookmark(at, FIRST_LINE, now);
                sent += 1;
            }
        }
        sent
    }

    fn bookmark_due(&self, at: usize, now: Instant) -> bool {
        if !self.may_bookmark(at, now) {
            return false;
        }
        let lane = &self.lanes[at];
        let Some((sent_at, head, generation, version)) = lane.bookmark.sent else {
            return true;
        };
        let since = u64::try_from(now.duration_since(sent_at).as_millis()).unwrap_or(u64::MAX);
        let burst_over = self.ledger.oldest(lane.id).is_none()
            && self.ledger.prefix(lane.id) != Some(head)
            && since >= self.settings.cursor_ms
            && now.duration_since(sent_at) >= self.bookmark_span();
        let directions = &self.sources.directions;
        let flipped = directions.version(&lane.module, Some(&self.target.name)) != version;
        burst_over || flipped || lane.generation != generation || since >= self.settings.bookmark_ms
    }

    /// Where the rate is bounded, the retained messages after bursts leave half of it to the changes.
    fn bookmark_span(&self) -> Duration {
        let pace = self.pace.as_ref();
        pace.map_or(Duration::ZERO, |pace| pace.half_rate_span(self.lanes.len()))
    }

    pub(super) fn may_bookmark(&self, at: usize, now: Instant) -> bool {
        !self.gives_up_bookmark(at) && self.can_bookmark(at, now)
    }

    /// Whether nothing stands in the way of it but that it may be given up.
    pub(super) fn can_bookmark(&self, at: usize, now: Instant) -> bool {
        let lane = &self.lanes[at];
        let busy = lane.bookmark.outstanding || lane.leaving;
        let suspect = lane.is_suspect(FIRST_LINE);
        if !lane.cleared || busy || suspect || lane.kept_off.is_some() {
            return false;
        }
        // What the broker shows may be the only witness of positions that were lost: it is read, and what follows
        // from it is settled, before it is written over.
        self.has_shown(&lane.module, now) && !self.sources.witnesses.are_open(&lane.module)
    }

    /// Whether the broker has refused it often enough, for now.
    pub(super) fn gives_up_bookmark(&self, at: usize) -> bool {
        self.lanes[at].bookmark.rests()
    }

    /// Publishes a module's retained message over a line, which is the first one but where another is to show that the
    /// broker answers on it.
    pub(super) fn send_bookmark(&mut self, at: usize, on: usize, now: Instant) {
        let lane = &mut self.lanes[at];
        let connection = &self.lines[on].connection;
        let (Some(connection), Some(head)) = (connection, self.ledger.prefix(lane.id)) else {
            return;
        };
        let directions = &self.sources.directions;
        let version = directions.version(&lane.module, Some(&self.target.name));
        let said = bookmark::Said {
            head,
            generation: lane.generation,
            version,
            log: self.sources.log,
            every_ms: self.settings.bookmark_ms,
            now: self.sources.clock.now(),
        };
        let payload = bookmark::encode(&lane.module, &self.target.name, directions, said);
        let topic = self.topics.bookmark(&lane.module);
        let retains = connection
            .admitted
            .as_ref()
            .is_some_and(|admitted| admitted.retains);
        if connection
            .link
            .publish(&topic, payload, retains, bookmark::CONTENT_TYPE)
            .is_ok()
        {
            let lane = lane.id;
            let bookmark = Sending::Bookmark { lane, head };
            let queued = self.ledger.queue(on, bookmark);
            debug_assert!(queued, "only changes can be out of order");
            self.note_pace();
            let lane = &mut self.lanes[at];
            lane.bookmark.outstanding = true;
            lane.bookmark.sent = Some((now, head, lane.generation, version));
            let told = self.told.entry(lane.module.clone()).or_insert(head);
            *told = head.max(*told);
        }
    }
}
