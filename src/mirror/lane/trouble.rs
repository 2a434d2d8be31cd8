//! What stands in the way of one position of a lane, and what is tried next.
//!
//! Invariant: the positions of a lane are in trouble one after another, the lowest first; so each comes to its end,
//! also where a broker refuses many.

use std::time::{Duration, Instant};

use crate::domain::Cursor;

/// What stands in the way of one position.
#[derive(Debug, Default)]
pub(in crate::mirror) struct Trouble {
    refused_at: Option<Cursor>,
    refusals: u32,
    /// It is sent without its value.
    pointed: bool,
    stalled_at: Option<Cursor>,
    stalls: u32,
    /// The broker left it without an answer.
    unanswered: bool,
    /// The others have the connection to themselves until then.
    rests_until: Option<Instant>,
}

/// What follows from a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mirror) enum Next {
    /// It is sent again as it is.
    Again,
    /// It is sent as a pointer.
    Point,
    /// Its module halts.
    Halt,
}

/// After so many connections that ended without progress of a lane, its next change is sent alone.
const STALLS: u32 = 2;

impl Trouble {
    /// The broker has refused the change at `cursor`.
    pub(in crate::mirror) fn refuse(&mut self, cursor: Cursor, tries: u32) -> Next {
        if self.is_behind(cursor) {
            return Next::Again;
        }
        if self.pointed {
            return Next::Halt;
        }
        self.count(tries)
    }

    /// The connection ended while the change at `cursor` was the only one under way. That may be by chance, so
    /// a pointer has as many tries as the whole.
    pub(in crate::mirror) fn abandon(&mut self, cursor: Cursor, tries: u32) -> Next {
        if self.is_behind(cursor) {
            return Next::Again;
        }
        let was_pointed = self.pointed;
        match self.count(tries) {
            Next::Point if was_pointed => Next::Halt,
            next => next,
        }
    }

    /// Whether an earlier position comes first. Else the trouble is about this one from now on.
    fn is_behind(&mut self, cursor: Cursor) -> bool {
        if self.refused_at.is_some_and(|at| at < cursor) {
            return true;
        }
        if self.refused_at.replace(cursor) != Some(cursor) {
            (self.refusals, self.pointed) = (0, false);
        }
        false
    }

    fn count(&mut self, tries: u32) -> Next {
        self.refusals += 1;
        if self.refusals < tries.max(1) {
            return Next::Again;
        }
        (self.refusals, self.pointed) = (0, true);
        Next::Point
    }

    /// Whether the change at `cursor` is to be sent without its value.
    pub(in crate::mirror) fn points_at(&self, cursor: Cursor) -> bool {
        self.pointed && self.refused_at == Some(cursor)
    }

    /// After a halt: one more try with the whole, and one with the pointer.
    pub(in crate::mirror) fn try_once_more(&mut self, tries: u32) {
        (self.refusals, self.pointed) = (tries.saturating_sub(1), false);
    }

    /// A connection ended while the change at `cursor` was the oldest outstanding one.
    pub(in crate::mirror) fn stall(&mut self, cursor: Cursor) {
        if self.stalled_at.replace(cursor) != Some(cursor) {
            (self.stalls, self.unanswered) = (0, false);
        }
        self.stalls += 1;
    }

    /// The broker has left the change at `cursor` without an answer: it is sent alone next, once the broker has
    /// shown that it answers.
    pub(in crate::mirror) fn suspect(&mut self, cursor: Cursor) {
        (self.stalled_at, self.stalls, self.unanswered) = (Some(cursor), STALLS, true);
    }

    /// Whether it must be known that the broker answers at all before the next change is sent alone.
    pub(in crate::mirror) fn needs_proof(&self) -> bool {
        self.unanswered && self.is_suspicious()
    }

    /// Sends nothing until `end`.
    pub(in crate::mirror) fn rest(&mut self, end: Instant) {
        self.rests_until = Some(end);
    }

    /// Whether it sends nothing, for the sake of the others.
    pub(in crate::mirror) fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|end| now < end)
    }

    /// Whether the next change must be sent alone, to see if it is what ends the connections.
    pub(in crate::mirror) fn is_suspicious(&self) -> bool {
        self.stalls >= STALLS
    }

    /// Everything up to `prefix` was acknowledged.
    pub(in crate::mirror) fn progress(&mut self, prefix: Cursor) {
        if self.stalled_at.is_some_and(|at| at <= prefix) {
            (self.stalled_at, self.stalls, self.unanswered) = (None, 0, false);
        }
        if self.refused_at.is_some_and(|at| at <= prefix) {
            (self.refused_at, self.refusals, self.pointed) = (None, 0, false);
        }
    }
}

/// A lane that sends nothing more, for now.
#[derive(Debug)]
pub(in crate::mirror) struct Halt {
    pub(in crate::mirror) reason: String,
    at: Cursor,
    again_at: Instant,
    trying: bool,
}

impl Halt {
    /// At the change at `at`, for `rest`.
    pub(in crate::mirror) fn new(at: Cursor, reason: String, now: Instant, rest: Duration) -> Self {
        Self {
            reason,
            at,
            again_at: now + rest,
            trying: false,
        }
    }

    /// Whether nothing may be sent.
    pub(in crate::mirror) fn holds(&self) -> bool {
        !self.trying
    }

    /// It is time for one more try now.
    pub(in crate::mirror) fn end_rest(&mut self, now: Instant) {
        self.again_at = self.again_at.min(now);
    }

    /// Whether it is time for one more try, which then begins.
    pub(in crate::mirror) fn is_over(&mut self, now: Instant) -> bool {
        let over = !self.trying && now >= self.again_at;
        self.trying |= over;
        over
    }

    /// Whether the change was acknowledged in the end.
    pub(in crate::mirror) fn is_overcome(&self, prefix: Cursor) -> bool {
        self.at <= prefix
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Epoch, Position};

    fn at(position: u64) -> Cursor {
        Cursor::new(Epoch::FIRST, Position::new(position))
    }

    #[test]
    fn a_refused_change_is_tried_then_pointed_then_halted() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.refuse(at(1), 2), Next::Again);
        assert!(!trouble.points_at(at(1)));
        assert_eq!(trouble.refuse(at(1), 2), Next::Point);
        assert!(trouble.points_at(at(1)) && !trouble.points_at(at(2)));
        assert_eq!(trouble.refuse(at(1), 2), Next::Halt);
        trouble.try_once_more(2);
        assert!(!trouble.points_at(at(1)));
        assert_eq!(trouble.refuse(at(1), 2), Next::Point);
        assert_eq!(trouble.refuse(at(1), 2), Next::Halt);
    }

    #[test]
    fn many_refused_changes_come_to_their_end_one_after_another() {
        let mut trouble = Trouble::default();
        for _ in 0..2 {
            assert_eq!(trouble.refuse(at(1), 3), Next::Again);
            assert_eq!(trouble.refuse(at(2), 3), Next::Again);
        }
        assert_eq!(trouble.refuse(at(1), 3), Next::Point);
        trouble.progress(at(1));
        assert_eq!(trouble.refuse(at(2), 3), Next::Again);
    }

    #[test]
    fn a_connection_that_ends_is_no_proof_against_a_pointer() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.abandon(at(1), 2), Next::Again);
        assert_eq!(trouble.abandon(at(1), 2), Next::Point);
        assert_eq!(trouble.abandon(at(1), 2), Next::Again);
        assert_eq!(trouble.abandon(at(1), 2), Next::Halt);
    }
}
