//! A module's retained message on its way to one broker: how far it got, and what becomes of it where it is refused.
//!
//! Invariant: what is given up is tried again, for ever: after a rest, on a new connection, or when somebody asks for it. So a
//! refusal that has passed leaves nobody without word of a flip.

use std::time::{Duration, Instant};

use crate::domain::Cursor;

/// The retained message, as far as it got.
#[derive(Debug, Default)]
pub(in crate::mirror) struct Bookmark {
    pub(in crate::mirror) outstanding: bool,
    /// When, and with which head, generation and version it was sent last on the first line's connection.
    pub(in crate::mirror) sent: Option<(Instant, Cursor, u64, i64)>,
    /// The least that a broker which kept its state shows.
    pub(in crate::mirror) expected: Option<Cursor>,
    refusals: u32,
    given_up: Option<GivenUp>,
}

/// It was refused often enough.
#[derive(Debug)]
struct GivenUp {
    reason: String,
    again_at: Instant,
    trying: bool,
}

impl Bookmark {
    /// Of a broker that shows at least this, if it kept its state.
    pub(in crate::mirror) fn expecting(expected: Option<Cursor>) -> Self {
        Self {
            expected,
            ..Self::default()
        }
    }

    /// A new connection: what was sent on the one before is not known to have come.
    pub(in crate::mirror) fn begin_connection(&mut self) {
        self.outstanding = false;
        self.sent = None;
    }

    /// The broker has refused it, or left it without an answer. Returns whether it is given up by that, for the first time
    /// since it was acknowledged.
    pub(in crate::mirror) fn refuse(
        &mut self,
        reason: &str,
        tries: u32,
        (now, rest): (Instant, Duration),
    ) -> bool {
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals < tries.max(1) {
            return false;
        }
        let before = self.given_up.replace(GivenUp {
            reason: reason.to_owned(),
            again_at: now + rest,
            trying: false,
        });
        before.is_none()
    }

    /// The broker has it. Returns whether it had been given up.
    pub(in crate::mirror) fn acknowledge(&mut self, head: Cursor) -> bool {
        self.outstanding = false;
        self.expected = Some(head);
        self.refusals = 0;
        self.given_up.take().is_some()
    }

    /// Whether it is not sent, as the broker has refused it often enough.
    pub(in crate::mirror) fn rests(&self) -> bool {
        self.given_up.as_ref().is_some_and(|it| !it.trying)
    }

    /// Whether it is being tried once more.
    pub(in crate::mirror) fn is_trying(&self) -> bool {
        self.given_up.as_ref().is_some_and(|it| it.trying)
    }

    /// Why it is given up, also while it is tried once more.
    pub(in crate::mirror) fn given_up(&self) -> Option<&str> {
        self.given_up.as_ref().map(|it| it.reason.as_str())
    }

    /// When it is to be tried once more, if it rests.
    pub(in crate::mirror) fn again_at(&self) -> Option<Instant> {
        let resting = self.given_up.as_ref().filter(|it| !it.trying);
        resting.map(|it| it.again_at)
    }

    /// Sends it once more; a further refusal gives it up again.
    pub(in crate::mirror) fn try_once_more(&mut self, tries: u32) {
        if let Some(given_up) = &mut self.given_up {
            given_up.trying = true;
            self.refusals = tries.saturating_sub(1);
            self.sent = None;
        }
    }

    /// It need not rest any longer, if it rests.
    pub(in crate::mirror) fn end_rest(&mut self, now: Instant) {
        if let Some(given_up) = &mut self.given_up {
            given_up.again_at = given_up.again_at.min(now);
        }
    }

    /// It rests at least until then, if it rests: another module's has just been refused.
    pub(in crate::mirror) fn rest_until(&mut self, end: Instant) {
        if let Some(given_up) = &mut self.given_up {
            given_up.again_at = given_up.again_at.max(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Epoch, Position};

    const REST: Duration = Duration::from_mins(1);

    #[test]
    fn what_is_given_up_is_tried_once_more_after_each_rest() {
        let now = Instant::now();
        let mut bookmark = Bookmark::default();
        assert!(!bookmark.refuse("no", 2, (now, REST)) && !bookmark.rests());
        assert!(bookmark.refuse("no", 2, (now, REST)), "it is told once");
        assert_eq!(bookmark.given_up(), Some("no"));
        assert_eq!(bookmark.again_at(), Some(now + REST));
        bookmark.try_once_more(2);
        assert!(!bookmark.rests() && bookmark.is_trying());
        assert_eq!(bookmark.given_up(), Some("no"), "it is not known yet");
        let later = now + REST;
        assert!(!bookmark.refuse("still no", 2, (later, REST)));
        assert!(bookmark.rests());
        assert_eq!(bookmark.again_at(), Some(later + REST));
        bookmark.end_rest(later);
        assert_eq!(bookmark.again_at(), Some(later));
        bookmark.try_once_more(2);
        let head = Cursor::new(Epoch::FIRST, Position::new(1));
        assert!(bookmark.acknowledge(head) && !bookmark.acknowledge(head));
        assert_eq!((bookmark.given_up(), bookmark.again_at()), (None, None));
        assert!(!bookmark.refuse("no", 2, (later, REST)), "it counts anew");
    }
}
