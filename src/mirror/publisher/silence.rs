//! What the broker took and left without an answer.
//!
//! Invariants: nothing is without an answer for longer than `mirror.ack_timeout_ms` unless the connection is given up; a module
//! is blamed only for a change that was under way alone, on a connection on which the broker had shown that it answers; so
//! a broker that stands still, or a network that swallows everything, halts nobody.

use std::time::{Duration, Instant};

use super::{Publisher, jobs::MirrorStore};
use crate::{
    domain::Cursor,
    mirror::{
        lane::trouble::Next,
        ledger::{LaneId, Sending},
        line::FIRST_LINE,
    },
};

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Gives the connections up on which nothing has moved for too long.
    pub(super) fn mind_silence(&mut self, now: Instant) {
        for on in 0..self.lines.len() {
            self.mind_silence_on(on, now);
        }
    }

    fn mind_silence_on(&mut self, on: usize, now: Instant) {
        let longest = self.ledger.longest_on(on);
        let front = longest.map(|(number, _)| number);
        let line = &mut self.lines[on];
        if !line.deadline.is_missed(front, now) {
            return;
        }
        let (Some((_, sending)), Some(admitted)) = (longest, line.admitted()) else {
            return;
        };
        let (alone, answers, window) = (admitted.alone, admitted.acknowledges, admitted.window);
        line.caution.rise(window);
        match sending {
            Sending::Change { lane, cursor } => {
                self.leave_unanswered(on, (lane, cursor), alone == Some(lane), answers);
            }
            Sending::Bookmark { lane, .. } if answers => {
                let patience = self.settings.ack_timeout_ms;
                let reason = format!("it was not acknowledged within {patience} ms");
                self.refused_on_first |= on == FIRST_LINE;
                self.refuse_bookmark(lane, &reason);
            }
            Sending::Bookmark { .. } => {}
        }
        let reason = format!(
            "{} has had no acknowledgement for {} ms",
            self.name_of(sending),
            self.settings.ack_timeout_ms
        );
        self.give_up(on, &reason);
    }

    fn leave_unanswered(
        &mut self,
        on: usize,
        (id, cursor): (LaneId, Cursor),
        alone: bool,
        answers: bool,
    ) {
        let tries = self.settings.refusal_tries.max(1);
        let patience = self.settings.ack_timeout_ms;
        let others = self.lanes.len() > 1;
        let prefix = self.ledger.prefix(id);
        let Some(at) = self.lanes.iter().position(|lane| lane.id == id) else {
            return;
        };
        if prefix.is_none_or(|prefix| cursor <= prefix) {
            // The lane began again meanwhile, and what was sent then has been acknowledged.
            return;
        }
        let unprovable = self.gives_up_bookmark(at);
        let trouble = &mut self.lanes[at].ways[on].trouble;
        trouble.suspect(cursor);
        if !alone || !(answers || unprovable) {
            return;
        }
        if others {
            trouble.rest(Instant::now() + Duration::from_millis(patience));
        }
        let next = if answers {
            trouble.refuse(cursor, tries)
        } else {
            trouble.abandon(cursor, tries)
        };
        if next == Next::Halt {
            let position = cursor.position;
            let reason = format!(
                "position {position}: sent {tries} times, and as a pointer, and never acknowledged within {patience} ms, alone on the connection"
            );
            self.halt(at, cursor, reason);
        }
    }

    /// Before a change is sent alone that was left without an answer: lets the broker show that it answers,
    /// with the module's retained message. Returns whether that must be waited for.
    pub(super) fn asks_for_proof(&mut self, at: usize, on: usize, now: Instant) -> bool {
        let admitted = self.lines[on].admitted();
        let answers = admitted.is_some_and(|admitted| admitted.acknowledges);
        let lane = &self.lanes[at];
        if answers || !lane.ways[on].trouble.needs_proof() || self.gives_up_bookmark(at) {
            return false;
        }
        if self.sources.witnesses.are_open(&lane.module) {
            // Nothing of it may be sent at all.
            return false;
        }
        // Two of them on two lines might overtake each other.
        if !lane.bookmark.outstanding && self.has_shown(&lane.module, now) {
            self.send_bookmark(at, on, now);
        }
        true
    }

    fn name_of(&self, sending: Sending) -> String {
        let (lane, what) = match sending {
            Sending::Change { lane, cursor } => (lane, format!("position {}", cursor.position)),
            Sending::Bookmark { lane, .. } => (lane, "the retained message".to_owned()),
        };
        let lane = self.lanes.iter().find(|one| one.id == lane);
        match lane {
            Some(lane) => format!("{what} of {}", lane.module),
            None => format!("{what} of a module that is no longer ours"),
        }
    }
}
