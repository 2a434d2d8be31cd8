//! Retained messages that the broker refuses: when they are given up, and when they are tried once more.
//!
//! Invariants: clients hear of flips and panics by the retained messages, so none is given up for good; a refusal costs the connection, so one
//! is tried at a time, and after it was refused all rest.

use std::time::{Duration, Instant};

use super::{Publisher, jobs::MirrorStore};
use crate::{domain::Cursor, mirror::ledger::LaneId};

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// The broker has refused a module's retained message, or has left it without an answer.
    pub(super) fn refuse_bookmark(&mut self, id: LaneId, reason: &str) {
        let tries = self.settings.refusal_tries;
        let rest = Duration::from_millis(self.settings.halt_retry_ms);
        let now = Instant::now();
        let name = self.target.name.clone();
        let Some(lane) = self.lane_mut(id) else {
            return;
        };
        if lane.bookmark.given_up().is_none() {
            tracing::warn!(broker = %name, module = %lane.module, reason, "the broker refuses this module's retained message");
        }
        if lane.bookmark.refuse(reason, tries, (now, rest)) {
            tracing::error!(broker = %name, module = %lane.module, reason, tries, ?rest, "given up: clients there do not hear of flips and panics of this module; its retained message is tried again after each rest");
        }
        if lane.bookmark.rests() {
            for lane in &mut self.lanes {
                lane.bookmark.rest_until(now + rest);
            }
        }
    }

    /// The broker has taken a module's retained message.
    pub(super) fn note_bookmark(&mut self, id: LaneId, head: Cursor) {
        let name = self.target.name.clone();
        let Some(lane) = self.lane_mut(id) else {
            return;
        };
        if lane.bookmark.acknowledge(head) {
            tracing::info!(broker = %name, module = %lane.module, "the broker takes this module's retained message again");
            self.end_rests(Instant::now());
        }
    }

    /// The first line has a new connection. Unless a refusal has cost the one before, what is refused may be another thing now.
    pub(super) fn insist_on_new_connection(&mut self, now: Instant) {
        if !std::mem::take(&mut self.refused_on_first) {
            self.end_rests(now);
        }
    }

    /// What was given up need not rest any longer.
    pub(super) fn end_rests(&mut self, now: Instant) {
        for lane in &mut self.lanes {
            lane.bookmark.end_rest(now);
        }
    }

    /// Tries once more the one that has rested longest, unless another is being tried.
    pub(super) fn insist(&mut self, now: Instant) {
        let mut lanes = 0..self.lanes.len();
        if lanes.any(|at| self.is_insisting(at, now)) {
            return;
        }
        let due = |at: &usize| {
            let again_at = self.lanes[*at].bookmark.again_at();
            again_at.is_some_and(|again_at| again_at <= now) && self.can_bookmark(*at, now)
        };
        let next = (0..self.lanes.len()).filter(due);
        let next = next.min_by_key(|at| self.lanes[*at].bookmark.again_at());
        if let Some(at) = next {
            let tries = self.settings.refusal_tries;
            self.lanes[at].bookmark.try_once_more(tries);
        }
    }

    /// Whether a lane's is tried once more, and can be.
    fn is_insisting(&self, at: usize, now: Instant) -> bool {
        let bookmark = &self.lanes[at].bookmark;
        bookmark.is_trying() && (bookmark.outstanding || self.can_bookmark(at, now))
    }

    /// What is wrong with retained messages, for the status.
    pub(super) fn given_up(&self) -> Option<String> {
        let mut given_up = self.lanes.iter().filter_map(|lane| {
            let reason = lane.bookmark.given_up()?;
            Some((&lane.module, reason))
        });
        let (module, reason) = given_up.next()?;
        let others = match given_up.count() {
            0 => String::new(),
            more => format!(" (and of {more} more)"),
        };
        Some(format!(
            "the retained message of {module}{others} is refused, clients there do not hear of flips and panics: {reason}"
        ))
    }
}
