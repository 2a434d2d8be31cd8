//! The ledger: which change a packet id stands for, and how far each module is acknowledged.
//!
//! Invariant: the prefix of a lane never passes a change that was handed over and not
//! acknowledged. Packet ids are reused within a connection and mean nothing in the next one, so
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
        /// What it follows in its lane: the change handed over before it, or the prefix.
        after: Cursor,
        /// When it was numbered.
        sequenced_at: Micros,
    },
    /// The retained message of a module.
    Bookmark {
        /// Whose.
        lane: LaneId,
        /// The `head` in it.
        head: Cursor,
    },
}

#[derive(Debug)]
struct Outstanding {
    cursor: Cursor,
    sequenced_at: Micros,
    acknowledged: bool,
}

#[derive(Debug)]
struct Progress {
    prefix: Cursor,
    /// In the order of the log, from the first change above the prefix.
    outstanding: VecDeque<Outstanding>,
}

/// Everything that was handed over on the present connection and not acknowledged.
#[derive(Debug, Default)]
pub struct Ledger {
    connection: u64,
    /// How many were ever handed over: the number of the last one.
    handed_over: u64,
    /// Handed over, without a packet id yet.
    queued: VecDeque<(u64, Sending)>,
    /// By packet id.
    sent: Vec<Option<(u64, Sending)>>,
    in_flight: usize,
    lanes: HashMap<LaneId, Progress>,
}

impl Ledger {
    /// Begins a connection and returns its number. What was outstanding on the last one must be
    /// handed over again from each lane's prefix.
    pub fn connect(&mut self) -> u64 {
        self.connection += 1;
        self.queued.clear();
        self.sent.clear();
        self.in_flight = 0;
        for progress in self.lanes.values_mut() {
            progress.outstanding.clear();
        }
        self.connection
    }

    /// Begins a lane, or begins it again: everything up to `prefix` counts as acknowledged and
    /// what is outstanding counts no more.
    pub fn open(&mut self, lane: LaneId, prefix: Cursor) {
        let outstanding = VecDeque::new();
        let progress = Progress {
            prefix,
            outstanding,
        };
        self.lanes.insert(lane, progress);
    }

    /// Ends a lane. Its acknowledgements are passed over from now on.
    pub fn close(&mut self, lane: LaneId) {
        self.lanes.remove(&lane);
    }

    /// Notes what is handed to the client next. False, and nothing is noted, if the change does not
    /// follow what its lane handed over last: something was skipped, and the prefix would pass over it.
    #[must_use]
    pub fn queue(&mut self, sending: Sending) -> bool {
        if let Sending::Change {
            lane,
            cursor,
            after,
            sequenced_at,
        } = sending
        {
            let Some(progress) = self.lanes.get_mut(&lane) else {
                return false;
            };
            let last = progress.outstanding.back();
            if last.map_or(progress.prefix, |last| last.cursor) != after || cursor <= after {
                return false;
            }
            progress.outstanding.push_back(Outstanding {
                cursor,
                sequenced_at,
                acknowledged: false,
            });
        }
        self.handed_over += 1;
        self.queued.push_back((self.handed_over, sending));
        true
    }

    /// The client gave the oldest queued entry this packet id. False if the ledger and the client
    /// disagree, after which the connection cannot be trusted.
    #[must_use]
    pub fn sent(&mut self, connection: u64, packet: u16) -> bool {
        if connection != self.connection {
            return true;
        }
        let Some(sending) = self.queued.pop_front() else {
            return false;
        };
        let at = usize::from(packet);
        if self.sent.len() <= at {
            self.sent.resize(at + 1, None);
        }
        if self.sent[at].replace(sending).is_some() {
            return false;
        }
        self.in_flight += 1;
        true
    }

    /// The broker acknowledged a packet. `None` for one that is not outstanding.
    pub fn acknowledge(&mut self, connection: u64, packet: u16) -> Option<Sending> {
        let sending = self.take(connection, packet)?;
        if let Sending::Change { lane, cursor, .. } = sending
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
        if connection != self.connection {
            return None;
        }
        let (_, sending) = self.sent.get_mut(usize::from(packet))?.take()?;
        self.in_flight -= 1;
        Some(sending)
    }

    /// Everything of the lane up to here was acknowledged.
    pub fn prefix(&self, lane: LaneId) -> Option<Cursor> {
        Some(self.lanes.get(&lane)?.prefix)
    }

    /// The lane's first change without acknowledgement, and when it was numbered.
    pub fn oldest(&self, lane: LaneId) -> Option<(Cursor, Micros)> {
        let oldest = self.lanes.get(&lane)?.outstanding.front()?;
        Some((oldest.cursor, oldest.sequenced_at))
    }

    /// What has been under way longest, with its number, which nothing else ever has.
    pub fn longest(&self) -> Option<(u64, Sending)> {
        let in_flight = self.sent.iter().flatten().min_by_key(|(number, _)| *number);
        in_flight.or_else(|| self.queued.front()).copied()
    }

    /// Entries handed over and not acknowledged, of all lanes.
    pub fn outstanding(&self) -> usize {
        self.queued.len() + self.in_flight
    }
}

impl Progress {
    fn acknowledge(&mut self, cursor: Cursor) {
        let at = self.outstanding.partition_point(|one| one.cursor < cursor);
        // After the lane began again, an acknowledgement from before finds nothing, or finds the
        // same change handed over a second time: the broker has it either way.
        if let Some(one) = self.outstanding.get_mut(at)
            && one.cursor == cursor
        {
            one.acknowledged = true;
        }
        while let Some(one) = self.outstanding.pop_front_if(|one| one.acknowledged) {
            self.prefix = one.cursor;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Epoch, Position};

    fn at(position: u64) -> Cursor {
        Cursor::new(Epoch::FIRST, Position::new(position))
    }

    fn change(lane: u64, position: u64) -> Sending {
        Sending::Change {
            lane: LaneId(lane),
            cursor: at(position),
            after: at(position - 1),
            sequenced_at: Micros::new(0),
        }
    }

    #[test]
    fn the_prefix_waits_for_the_hole() {
        let mut ledger = Ledger::default();
        let connection = ledger.connect();
        ledger.open(LaneId(1), at(0));
        for position in 1..=3 {
            assert!(ledger.queue(change(1, position)));
            assert!(ledger.sent(connection, u16::try_from(position).unwrap()));
        }
        ledger.acknowledge(connection, 2);
        ledger.acknowledge(connection, 3);
        assert_eq!(ledger.prefix(LaneId(1)), Some(at(0)));
        ledger.acknowledge(connection, 1);
        assert_eq!(ledger.prefix(LaneId(1)), Some(at(3)));
        assert_eq!(ledger.outstanding(), 0);
    }

    #[test]
    fn an_acknowledgement_of_an_earlier_connection_moves_nothing() {
        let mut ledger = Ledger::default();
        let first = ledger.connect();
        ledger.open(LaneId(1), at(0));
        assert!(ledger.queue(change(1, 1)));
        assert!(ledger.sent(first, 1));
        let second = ledger.connect();
        assert!(ledger.queue(change(1, 1)));
        assert!(ledger.sent(second, 1));
        assert_eq!(ledger.acknowledge(first, 1), None);
        assert_eq!(ledger.prefix(LaneId(1)), Some(at(0)));
    }

    #[test]
    fn a_refused_change_holds_the_prefix() {
        let mut ledger = Ledger::default();
        let connection = ledger.connect();
        ledger.open(LaneId(1), at(0));
        for position in 1..=2 {
            assert!(ledger.queue(change(1, position)));
            assert!(ledger.sent(connection, u16::try_from(position).unwrap()));
        }
        assert_eq!(ledger.refuse(connection, 1), Some(change(1, 1)));
        ledger.acknowledge(connection, 2);
        assert_eq!(ledger.prefix(LaneId(1)), Some(at(0)));
    }

    #[test]
    fn the_longest_under_way_is_not_hidden_by_packet_ids_that_are_used_again() {
        let mut ledger = Ledger::default();
        let connection = ledger.connect();
        ledger.open(LaneId(1), at(0));
        assert_eq!(ledger.longest(), None);
        for position in 1..=3 {
            assert!(ledger.queue(change(1, position)));
        }
        assert_eq!(ledger.longest(), Some((1, change(1, 1))), "queued only");
        for packet in 1..=3 {
            assert!(ledger.sent(connection, packet));
        }
        ledger.acknowledge(connection, 1);
        assert!(ledger.queue(change(1, 4)));
        assert!(ledger.sent(connection, 1));
        assert_eq!(ledger.longest(), Some((2, change(1, 2))));
        ledger.connect();
        assert_eq!(ledger.longest(), None);
        ledger.open(LaneId(1), at(1));
        assert!(ledger.queue(change(1, 2)));
        assert_eq!(ledger.longest(), Some((5, change(1, 2))), "a new number");
    }

    #[test]
    fn a_change_that_does_not_follow_is_not_taken() {
        let mut ledger = Ledger::default();
        ledger.connect();
        ledger.open(LaneId(1), at(0));
        assert!(!ledger.queue(change(1, 2)));
        assert!(ledger.queue(change(1, 1)));
        assert!(!ledger.queue(change(1, 1)));
        assert!(!ledger.queue(change(2, 1)), "there is no such lane");
        assert_eq!(ledger.outstanding(), 1);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Send { lane: u64 },
        Number { packet: u16 },
        Acknowledge { packet: u16, stale: bool },
        Refuse { packet: u16 },
        Reconnect,
        Reopen { lane: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        let packet = 1_u16..6;
        prop_oneof![
            6 => (0_u64..2).prop_map(|lane| Step::Send { lane }),
            6 => packet.clone().prop_map(|packet| Step::Number { packet }),
            6 => (packet.clone(), any::<bool>()).prop_map(|(packet, stale)| Step::Acknowledge { packet, stale }),
            1 => packet.prop_map(|packet| Step::Refuse { packet }),
            1 => Just(Step::Reconnect),
            1 => (0_u64..2).prop_map(|lane| Step::Reopen { lane }),
        ]
    }

    /// What a broker and a client would know, kept apart from the ledger's way of keeping it.
    #[derive(Default)]
    struct Model {
        next: [u64; 2],
        acknowledged: [BTreeSet<u64>; 2],
        queue: VecDeque<(usize, u64)>,
        packets: HashMap<u16, (usize, u64)>,
    }

    impl Model {
        fn contiguous(&self, lane: usize) -> u64 {
            let all = &self.acknowledged[lane];
            let whole = all
                .iter()
                .zip(1..)
                .take_while(|(position, expected)| *position == expected);
            whole.last().map_or(0, |(position, _)| *position)
        }
    }

    proptest! {
        #[test]
        fn the_prefix_is_what_the_broker_acknowledged_without_a_hole(steps in prop::collection::vec(step(), 0..200)) {
            let mut model = Model { next: [1, 1], ..Model::default() };
            let mut ledger = Ledger::default();
            let mut connection = ledger.connect();
            ledger.open(LaneId(0), at(0));
            ledger.open(LaneId(1), at(0));
            for step in steps {
                match step {
                    Step::Send { lane } => {
                        let at = usize::try_from(lane).unwrap();
                        assert!(ledger.queue(change(lane, model.next[at])));
                        model.queue.push_back((at, model.next[at]));
                        model.next[at] += 1;
                    }
                    Step::Number { packet } => {
                        if !model.packets.contains_key(&packet) && let Some(entry) = model.queue.pop_front() {
                            prop_assert!(ledger.sent(connection, packet));
                            model.packets.insert(packet, entry);
                        }
                    }
                    Step::Acknowledge { packet, stale: true } => {
                        prop_assert_eq!(ledger.acknowledge(connection - 1, packet), None);
                    }
                    Step::Acknowledge { packet, stale: false } => {
                        let known = ledger.acknowledge(connection, packet).is_some();
                        let entry = model.packets.remove(&packet);
                        prop_assert_eq!(known, entry.is_some());
                        if let Some((lane, position)) = entry {
                            model.acknowledged[lane].insert(position);
                        }
                    }
                    Step::Refuse { packet } => {
                        ledger.refuse(connection, packet);
                        model.packets.remove(&packet);
                    }
                    Step::Reconnect => {
                        connection = ledger.connect();
                        model.queue.clear();
                        model.packets.clear();
                        for lane in 0..2 {
                            let prefix = model.contiguous(lane);
                            model.acknowledged[lane].retain(|position| *position <= prefix);
                            model.next[lane] = prefix + 1;
                        }
                    }
                    Step::Reopen { lane } => {
                        let at_lane = usize::try_from(lane).unwrap();
                        let prefix = model.contiguous(at_lane);
                        ledger.open(LaneId(lane), at(prefix));
                        model.acknowledged[at_lane].retain(|position| *position <= prefix);
                        model.next[at_lane] = prefix + 1;
                        // Late acknowledgements count only for what is handed over again.
                        model.queue.retain(|(l, _)| *l != at_lane);
                        model.packets.retain(|_, (l, _)| *l != at_lane);
                        // The ledger keeps them in flight; a fresh connection makes both equal.
                        connection = ledger.connect();
                        let other = 1 - at_lane;
                        model.queue.clear();
                        model.packets.clear();
                        let prefix = model.contiguous(other);
                        model.acknowledged[other].retain(|position| *position <= prefix);
                        model.next[other] = prefix + 1;
                    }
                }
                for lane in 0..2_usize {
                    let prefix = ledger.prefix(LaneId(lane as u64)).unwrap();
                    prop_assert_eq!(prefix, at(model.contiguous(lane)));
                }
                prop_assert_eq!(ledger.outstanding(), model.queue.len() + model.packets.len());
            }
        }
    }
}
