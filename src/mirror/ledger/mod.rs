//! The ledger: which change a packet id stands for, and how far each module is acknowledged.
//!
//! Invariant: the prefix of a lane never passes a change that was read from the log and not acknowledged, whichever
//! connection it goes over. Packet ids are reused within a connection and mean nothing in the next one or beside it, so
//! every entry belongs to one connection number.

use std::collections::{HashMap, VecDeque};

use crate::domain::{Cursor, Micros};

/// One module under one lease. Never used again: what is left over from an earlier lease of
/// the same module finds no lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u64);

/// What was handed to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// A change of the log.
    Change {
        /// Whose.
        lane: LaneId,
        /// Where it stands.
        cursor: Cursor,
    },
    /// The retained message of a module.
    Bookmark {
        /// Whose.
        lane: LaneId,
        /// The `head` in it.
        head: Cursor,
    },
}

/// What a change is that was read from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enlisted {
    /// It is to be handed over.
    Wanted,
    /// It is acknowledged, or under way on a connection that stands.
    Known,
    /// It does not follow what was read of its lane before: something was skipped, and the prefix would pass over it.
    Misplaced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be handed over, or once more because its connection is gone.
    Waiting,
    /// Under way on a line.
    Sent(usize),
    Acknowledged,
}

#[derive(Debug)]
struct Entry {
    cursor: Cursor,
    sequenced_at: Micros,
    state: State,
}

#[derive(Debug)]
struct Progress {
    prefix: Cursor,
    /// In the order of the log, from the first change above the prefix that is not acknowledged.
    entries: VecDeque<Entry>,
    /// The last change handed over on each line's present connection.
    handed: Vec<Option<Cursor>>,
}

/// What is under way on the present connection of a line.
#[derive(Debug, Default)]
struct Wire {
    /// The connection's number; 0 = none.
    connection: u64,
    /// Handed over, without a packet id yet.
    queued: VecDeque<(u64, Sending)>,
    /// By packet id.
    sent: Vec<Option<(u64, Sending)>>,
    in_flight: usize,
}

/// Everything that was read to be published on some lines and not acknowledged.
#[derive(Debug)]
pub struct Ledger {
    connections: u64,
    /// How many were ever handed over: the number of the last one.
    handed_over: u64,
    wires: Vec<Wire>,
    lanes: HashMap<LaneId, Progress>,
}

impl Ledger {
    /// The ledger of a target that is fed over so many lines.
    pub fn new(lines: usize) -> Self {
        Self {
            connections: 0,
            handed_over: 0,
            wires: (0..lines).map(|_| Wire::default()).collect(),
            lanes: HashMap::new(),
        }
    }

    /// Begins a connection on a line and returns its number, which no other has.
    pub fn connect(&mut self, on: usize) -> u64 {
        let _lost = self.disconnect(on);
        self.connections += 1;
        self.wires[on].connection = self.connections;
        self.connections
    }

    /// The connection of a line is gone. What was under way there must be handed over again; what is under way on the
    /// other lines stays. Returns the lanes whose retained message was under way there.
    pub fn disconnect(&mut self, on: usize) -> Vec<LaneId> {
        let wire = std::mem::take(&mut self.wires[on]);
        for progress in self.lanes.values_mut() {
            progress.handed[on] = None;
            let lost = progress.entries.iter_mut();
            for entry in lost.filter(|entry| entry.state == State::Sent(on)) {
                entry.state = State::Waiting;
            }
        }
        let lost = wire.queued.iter().chain(wire.sent.iter().flatten());
        lost.filter_map(|(_, sending)| match sending {
            Sending::Bookmark { lane, .. } => Some(*lane),
            Sending::Change { .. } => None,
        })
        .collect()
    }

    /// Begins a lane, or begins it again: everything up to `prefix` counts as acknowledged, and what is under way
    /// counts no more.
    pub fn open(&mut self, lane: LaneId, prefix: Cursor) {
        let progress = Progress {
            prefix,
            entries: VecDeque::new(),
            handed: vec![None; self.wires.len()],
        };
        self.lanes.insert(lane, progress);
    }

    /// Ends a lane. Its acknowledgements are passed over from now on.
    pub fn close(&mut self, lane: LaneId) {
        self.lanes.remove(&lane);
    }

    /// Notes a change that was read from the log right after what lies at `after`. What was read between the two at an
    /// earlier time and still waits is gone from the log.
    pub fn enlist(
        &mut self,
        lane: LaneId,
        after: Cursor,
        cursor: Cursor,
        sequenced_at: Micros,
    ) -> Enlisted {
        let Some(progress) = self.lanes.get_mut(&lane) else {
            return Enlisted::Misplaced;
        };
        progress.forget(after, cursor);
        progress.enlist(after, cursor, sequenced_at)
    }

    /// Nothing of a lane lies between the two in the log, or up to `to`: what was read there and still waits is gone.
    pub fn forget(&mut self, lane: LaneId, after: Cursor, to: Cursor) {
        if let Some(progress) = self.lanes.get_mut(&lane) {
            progress.forget(after, to);
            progress.forget_at(to);
            progress.settle();
        }
    }

    /// Notes what is handed to the client of a line next. False, and nothing is noted, if it is a change that does not
    /// wait, or that comes after a later one of its lane on this connection.
    #[must_use]
    pub fn queue(&mut self, on: usize, sending: Sending) -> bool {
        if let Sending::Change { lane, cursor } = sending {
            let progress = self.lanes.get_mut(&lane);
            if !progress.is_some_and(|progress| progress.hand_over(on, cursor)) {
                return false;
            }
        }
        self.handed_over += 1;
        let numbered = (self.handed_over, sending);
        self.wires[on].queued.push_back(numbered);
        true
    }

    /// The client gave the oldest queued entry of its connection this packet id. False if the ledger and the client
    /// disagree, after which the connection cannot be trusted.
    #[must_use]
    pub fn sent(&mut self, connection: u64, packet: u16) -> bool {
        let Some(wire) = self.wire(connection) else {
            return true;
        };
        let Some(sending) = wire.queued.pop_front() else {
            return false;
        };
        let at = usize::from(packet);
        if wire.sent.len() <= at {
            wire.sent.resize(at + 1, None);
        }
        if wire.sent[at].replace(sending).is_some() {
            return false;
        }
        wire.in_flight += 1;
        true
    }

    /// The broker acknowledged a packet. `None` for one that is not outstanding.
    pub fn acknowledge(&mut self, connection: u64, packet: u16) -> Option<Sending> {
        let sending = self.take(connection, packet)?;
        if let Sending::Change { lane, cursor } = sending
            && let Some(progress) = self.lanes.get_mut(&lane)
        {
            progress.acknowledge(cursor);
        }
        Some(sending)
    }

    /// The broker refused a packet: it is out of flight, and its change holds the prefix back.
    pub fn refuse(&mut self, connection: u64, packet: u16) -> Option<Sending> {
        self.take(connection, packet)
    }

    fn take(&mut self, connection: u64, packet: u16) -> Option<Sending> {
        let wire = self.wire(connection)?;
        let (_, sending) = wire.sent.get_mut(usize::from(packet))?.take()?;
        wire.in_flight -= 1;
        Some(sending)
    }

    fn wire(&mut self, connection: u64) -> Option<&mut Wire> {
        let mut wires = self.wires.iter_mut();
        wires.find(|wire| wire.connection == connection)
    }

    /// Everything of the lane up to here was acknowledged.
    pub fn prefix(&self, lane: LaneId) -> Option<Cursor> {
        Some(self.lanes.get(&lane)?.prefix)
    }

    /// The lane's first change that was read and is not acknowledged, and when it was numbered.
    pub fn oldest(&self, lane: LaneId) -> Option<(Cursor, Micros)> {
        let oldest = self.lanes.get(&lane)?.entries.front()?;
        Some((oldest.cursor, oldest.sequenced_at))
    }

    /// The lane's first change that is under way on a line.
    pub fn oldest_on(&self, on: usize, lane: LaneId) -> Option<Cursor> {
        let mut entries = self.lanes.get(&lane)?.entries.iter();
        let oldest = entries.find(|entry| entry.state == State::Sent(on))?;
        Some(oldest.cursor)
    }

    /// What has been under way longest on a line, with its number, which nothing else ever has.
    pub fn longest_on(&self, on: usize) -> Option<(u64, Sending)> {
        let wire = &self.wires[on];
        let in_flight = wire.sent.iter().flatten().min_by_key(|(number, _)| *number);
        in_flight.or_else(|| wire.queued.front()).copied()
    }

    /// How many changes of the lane the ledger holds: those read since the first that is not acknowledged.
    pub fn held(&self, lane: LaneId) -> usize {
        let progress = self.lanes.get(&lane);
        progress.map_or(0, |progress| progress.entries.len())
    }

    /// Entries handed over on a line and not acknowledged, of all lanes.
    pub fn outstanding_on(&self, on: usize) -> usize {
        let wire = &self.wires[on];
        wire.queued.len() + wire.in_flight
    }

    /// Entries handed over and not acknowledged, of all lanes.
    pub fn outstanding(&self) -> usize {
        (0..self.wires.len())
            .map(|on| self.outstanding_on(on))
            .sum()
    }
}

impl Progress {
    fn enlist(&mut self, after: Cursor, cursor: Cursor, sequenced_at: Micros) -> Enlisted {
        let last = self.entries.back().map_or(self.prefix, |last| last.cursor);
        if cursor <= last {
            return self.judge(cursor);
        }
        if after > last || cursor <= after {
            return Enlisted::Misplaced;
        }
        self.entries.push_back(Entry {
            cursor,
            sequenced_at,
            state: State::Waiting,
        });
        Enlisted::Wanted
    }

    /// What a change is that was read before.
    fn judge(&self, cursor: Cursor) -> Enlisted {
        if cursor <= self.prefix {
            return Enlisted::Known;
        }
        match self.find(cursor).map(|at| self.entries[at].state) {
            Some(State::Waiting) => Enlisted::Wanted,
            Some(State::Sent(_) | State::Acknowledged) => Enlisted::Known,
            None => Enlisted::Misplaced,
        }
    }

    fn find(&self, cursor: Cursor) -> Option<usize> {
        let found = self
            .entries
            .binary_search_by_key(&cursor, |entry| entry.cursor);
        found.ok()
    }

    fn forget(&mut self, after: Cursor, before: Cursor) {
        let from = self.entries.partition_point(|entry| entry.cursor <= after);
        let near = self.entries.range(from..);
        let gone = near
            .take_while(|entry| entry.cursor < before)
            .any(|entry| entry.state == State::Waiting);
        if gone {
            let between = |cursor| after < cursor && cursor < before;
            self.entries
                .retain(|entry| entry.state != State::Waiting || !between(entry.cursor));
            self.settle();
        }
    }

    fn forget_at(&mut self, cursor: Cursor) {
        if self.judge(cursor) == Enlisted::Wanted {
            self.entries.retain(|entry| entry.cursor != cursor);
        }
    }

    fn hand_over(&mut self, on: usize, cursor: Cursor) -> bool {
        let overtaken = self.handed[on].is_some_and(|last| last >= cursor);
        let Some(at) = self.find(cursor).filter(|_| !overtaken) else {
            return false;
        };
        let waits = self.entries[at].state == State::Waiting;
        if waits {
            self.entries[at].state = State::Sent(on);
            self.handed[on] = Some(cursor);
        }
        waits
    }

    fn acknowledge(&mut self, cursor: Cursor) {
        // After the lane began again, an acknowledgement from before finds nothing, or what has not been handed over
        // a second time and must be, or what has been: that the broker has either way.
        if let Some(at) = self.find(cursor)
            && matches!(self.entries[at].state, State::Sent(_))
        {
            self.entries[at].state = State::Acknowledged;
        }
        self.settle();
    }

    fn settle(&mut self) {
        let acknowledged = |entry: &mut Entry| entry.state == State::Acknowledged;
        while let Some(one) = self.entries.pop_front_if(acknowledged) {
            self.prefix = one.cursor;
        }
    }
}

#[cfg(test)]
mod tests;
