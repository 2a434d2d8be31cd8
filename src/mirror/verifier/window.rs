//! The newest changes of one module that a subscriber should receive, and what became of each so far.
//!
//! Invariants: positions ascend; at most `verifier.window` changes are held; each change that was
//! entered as expected leaves that state once.

use std::{collections::VecDeque, time::Instant};

use super::{
    received::{Print, Received},
    sampler::Share,
};
use crate::domain::{Micros, Position};

/// How far a change has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It should come.
    Expected,
    /// It came first at this moment.
    Arrived(Instant),
    /// It was counted as missing.
    Missing,
    /// It may come or not.
    Unobserved,
}

/// A change that is compared.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) previous: Position,
    pub(super) sequenced_at: Micros,
    pub(super) channel: u64,
    pub(super) print: Print,
    pub(super) state: State,
}

/// What an event turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// An expected change, for the first time.
    First {
        sequenced_at: Micros,
        reordered: bool,
        /// The predecessor in the log, if the event names another one.
        previous: Option<Position>,
    },
    /// A change that was counted as missing.
    AfterAll,
    /// A change that came before, if it is known when.
    Again(Option<Instant>),
    /// A change that came before, with another predecessor than the log's, which is this.
    AgainOtherwise(Position),
    /// Another change than the log has there.
    Unlike,
    /// The log has none there.
    Unknown,
    /// One that is not compared.
    Passed,
}

#[derive(Debug)]
pub(super) struct Window {
    bound: usize,
    entries: VecDeque<Entry>,
    expected: usize,
    /// What came up to here is not judged, unless it is among the entries.
    passed_to: Position,
    /// The highest position that came.
    arrived_to: Position,
}

impl Window {
    /// An empty window behind a position.
    pub(super) fn new(bound: usize, passed_to: Position) -> Self {
        Self {
            bound: bound.max(1),
            entries: VecDeque::new(),
            expected: 0,
            passed_to,
            arrived_to: passed_to,
        }
    }

    /// Enters a change above all others. Returns how many expected ones had to leave for it.
    pub(super) fn enter(&mut self, entry: Entry) -> u64 {
        self.expected += usize::from(entry.state == State::Expected);
        self.entries.push_back(entry);
        let mut forgotten = 0;
        while self.entries.len() > self.bound
            && let Some(oldest) = self.entries.pop_front()
        {
            if oldest.state == State::Expected {
                self.expected -= 1;
                self.passed_to = oldest.position;
                forgotten += 1;
            }
        }
        forgotten
    }

    /// What lies up to `position` and was not entered is not judged when it comes.
    pub(super) fn pass(&mut self, position: Position) {
        self.passed_to = self.passed_to.max(position);
    }

    /// Nobody can tell any more whether what is expected comes. Returns how many changes that are.
    pub(super) fn give_up(&mut self) -> u64 {
        let expected = std::mem::take(&mut self.expected) as u64;
        let open = self.entries.iter_mut();
        for entry in open.filter(|entry| entry.state == State::Expected) {
            entry.state = State::Unobserved;
        }
        expected
    }

    /// Leaves out the channels that are no longer compared.
    pub(super) fn narrow(&mut self, share: Share) {
        self.entries.retain(|entry| share.holds(entry.channel));
        let open = self.entries.iter();
        let open = open.filter(|entry| entry.state == State::Expected);
        self.expected = open.count();
    }

    /// Whether something up to `line` is still expected.
    pub(super) fn waits_below(&self, line: Position) -> bool {
        self.expected > 0 && self.expected_up_to(line).next().is_some()
    }

    fn expected_up_to(&self, line: Position) -> impl Iterator<Item = &Entry> {
        let near = self.entries.iter();
        let near = near.take_while(move |entry| entry.position <= line);
        near.filter(|entry| entry.state == State::Expected)
    }

    /// Takes what is expected up to `line` for missing. Returns how many changes, and the first of them.
    pub(super) fn miss(&mut self, line: Position) -> Option<(u64, Position)> {
        let first = self.expected_up_to(line).next()?.position;
        let mut missing = 0;
        let near = self.entries.iter_mut();
        for entry in near.take_while(|entry| entry.position <= line) {
            if entry.state == State::Expected {
                entry.state = State::Missing;
                missing += 1;
            }
        }
        self.expected -= missing;
        Some((missing as u64, first))
    }

    /// Takes an event at a position up to which the log was read. `share` held when it was read there.
    pub(super) fn arrive(&mut self, event: &Received, share: Share, now: Instant) -> Arrival {
        let found = self
            .entries
            .binary_search_by_key(&event.position, |entry| entry.position);
        let Ok(at) = found else {
            return self.judge_unlisted(event, share);
        };
        let entry = &self.entries[at];
        if entry.channel != event.channel || !event.print.stands_for(entry.print) {
            return Arrival::Unlike;
        }
        let other = (entry.previous != event.previous).then_some(entry.previous);
        let arrival = match (entry.state, other) {
            (State::Expected, previous) => Arrival::First {
                sequenced_at: entry.sequenced_at,
                reordered: self.is_overtaken(at),
                previous,
            },
            (State::Missing, _) => Arrival::AfterAll,
            (State::Unobserved, _) => Arrival::Passed,
            (State::Arrived(_), Some(previous)) => return Arrival::AgainOtherwise(previous),
            (State::Arrived(first), None) => return Arrival::Again(Some(first)),
        };
        self.expected -= usize::from(entry.state == State::Expected);
        self.entries[at].state = State::Arrived(now);
        self.arrived_to = self.arrived_to.max(event.position);
        arrival
    }

    fn judge_unlisted(&self, event: &Received, share: Share) -> Arrival {
        if event.position <= self.passed_to || !share.holds(event.channel) {
            return Arrival::Passed;
        }
        let oldest = self.entries.front().map(|entry| entry.position);
        if oldest.is_some_and(|oldest| event.position < oldest) {
            return Arrival::Again(None);
        }
        Arrival::Unknown
    }

    /// Whether a later change of the entry's channel has come.
    fn is_overtaken(&self, at: usize) -> bool {
        let entry = &self.entries[at];
        if entry.position > self.arrived_to {
            return false;
        }
        let later = self.entries.range(at + 1..);
        let mut later = later.take_while(|later| later.position <= self.arrived_to);
        later
            .any(|later| later.channel == entry.channel && matches!(later.state, State::Arrived(_)))
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
