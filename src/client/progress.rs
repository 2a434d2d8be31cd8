//! What a client has of a module's log: the rule that decides whether a change is next, had already, or shows a gap.
//!
//! Invariants: the cursor moves forward only, and only by answers to reads; of each channel every change is above the
//! one applied before it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Change;
use crate::domain::{Audience, Cursor, Position};

/// What a client has of a module. To be written down together with what was applied: who begins again with it
/// applies nothing twice and misses nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Everything up to it was said by reads; none before the first answer.
    cursor: Option<Cursor>,
    /// Per channel the last change applied after the cursor.
    lasts: BTreeMap<Audience, Position>,
    /// What is held is not whole before a snapshot was taken.
    owes_state: bool,
}

/// What a pushed change is to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// To be applied.
    Next,
    /// To be dropped.
    Had,
    /// Something before it is missing, or its value.
    Missing,
}

impl Progress {
    /// Nothing is held; begin with the oldest change that the log has.
    pub const fn from_the_beginning() -> Self {
        Self {
            cursor: None,
            lasts: BTreeMap::new(),
            owes_state: false,
        }
    }

    /// Nothing is held; begin with the state of every key.
    pub const fn from_the_state() -> Self {
        Self {
            cursor: None,
            lasts: BTreeMap::new(),
            owes_state: true,
        }
    }

    /// Everything up to `cursor` is held, or not wanted.
    pub const fn after(cursor: Cursor) -> Self {
        Self {
            cursor: Some(cursor),
            lasts: BTreeMap::new(),
            owes_state: false,
        }
    }

    /// Where the next read begins; none = at the beginning.
    pub const fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }

    pub(super) const fn owes_state(&self) -> bool {
        self.owes_state
    }

    fn have(&self, audience: &Audience) -> Position {
        let last = self.lasts.get(audience).copied().unwrap_or_default();
        self.cursor.map_or(last, |cursor| cursor.position.max(last))
    }

    /// What a pushed change is.
    pub(super) fn judge(&self, change: &Change) -> Verdict {
        let Some(cursor) = self.cursor else {
            return Verdict::Missing;
        };
        if change.epoch < cursor.epoch {
            return Verdict::Had;
        }
        let have = self.have(&change.audience);
        if change.epoch == cursor.epoch && change.position <= have {
            return Verdict::Had;
        }
        let is_next = change.epoch == cursor.epoch && change.previous <= have;
        if is_next && change.value.is_some() {
            Verdict::Next
        } else {
            Verdict::Missing
        }
    }

    /// Whether a change from a page is to be applied. Pages have no gaps.
    pub(super) fn lacks(&self, change: &Change) -> bool {
        change.position > self.have(&change.audience)
    }

    /// A change was applied.
    pub(super) fn applied(&mut self, change: &Change) {
        self.lasts.insert(change.audience.clone(), change.position);
    }

    /// A read said everything up to `cursor`. Returns whether that is further than before.
    pub(super) fn moved(&mut self, cursor: Cursor) -> bool {
        if self.cursor.is_some_and(|before| before >= cursor) {
            return false;
        }
        self.cursor = Some(cursor);
        self.lasts.retain(|_, last| *last > cursor.position);
        true
    }

    /// What was held is forgotten, and the state of every key is to come.
    pub(super) fn begin_anew(&mut self) {
        *self = Self::from_the_state();
    }

    /// All of the state up to `cursor` was applied.
    pub(super) fn has_state(&mut self, cursor: Cursor) {
        *self = Self::after(cursor);
    }

    /// There is no state: the log has all there is.
    pub(super) fn has_no_state(&mut self) {
        *self = Self::from_the_beginning();
    }
}
