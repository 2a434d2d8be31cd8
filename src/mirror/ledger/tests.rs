//! The ledger beside a model of what brokers and a log know.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::domain::{Epoch, Position};

const LANE: LaneId = LaneId(1);
const TIME: Micros = Micros::new(0);

fn at(position: u64) -> Cursor {
    Cursor::new(Epoch::FIRST, Position::new(position))
}

fn change(lane: LaneId, position: u64) -> Sending {
    let cursor = at(position);
    Sending::Change { lane, cursor }
}

/// Reads the changes from `from` to `to`, of which each must be wanted.
fn read(ledger: &mut Ledger, from: u64, to: u64) {
    for position in from..=to {
        let enlisted = ledger.enlist(LANE, at(position - 1), at(position), TIME);
        assert_eq!(enlisted, Enlisted::Wanted, "{position}");
    }
}

/// Hands a change over; its packet id is its position.
fn send(ledger: &mut Ledger, line: usize, connection: u64, position: u64) {
    assert!(ledger.queue(line, change(LANE, position)));
    assert!(ledger.sent(connection, u16::try_from(position).unwrap()));
}

#[test]
fn the_prefix_waits_for_the_hole() {
    let mut ledger = Ledger::new(1);
    let connection = ledger.connect(0);
    ledger.open(LANE, at(0));
    read(&mut ledger, 1, 3);
    for position in 1..=3 {
        send(&mut ledger, 0, connection, position);
    }
    ledger.acknowledge(connection, 2);
    ledger.acknowledge(connection, 3);
    assert_eq!(ledger.prefix(LANE), Some(at(0)));
    ledger.acknowledge(connection, 1);
    assert_eq!(ledger.prefix(LANE), Some(at(3)));
    assert_eq!((ledger.outstanding(), ledger.held(LANE)), (0, 0));
}

#[test]
fn the_prefix_waits_for_what_goes_over_another_line() {
    let mut ledger = Ledger::new(2);
    let (one, two) = (ledger.connect(0), ledger.connect(1));
    ledger.open(LANE, at(0));
    read(&mut ledger, 1, 4);
    send(&mut ledger, 0, one, 1);
    send(&mut ledger, 1, two, 2);
    send(&mut ledger, 1, two, 3);
    ledger.acknowledge(two, 2);
    ledger.acknowledge(two, 3);
    assert_eq!(ledger.prefix(LANE), Some(at(0)));
    ledger.acknowledge(one, 1);
    assert_eq!(ledger.prefix(LANE), Some(at(3)), "4 was not handed over");
}

#[test]
fn a_lost_line_leaves_the_others_what_they_have() {
    let mut ledger = Ledger::new(2);
    let (one, two) = (ledger.connect(0), ledger.connect(1));
    ledger.open(LANE, at(0));
    read(&mut ledger, 1, 4);
    send(&mut ledger, 0, one, 1);
    send(&mut ledger, 1, two, 2);
    send(&mut ledger, 1, two, 3);
    ledger.acknowledge(two, 3);
    ledger.disconnect(0);
    assert_eq!((ledger.outstanding_on(0), ledger.outstanding_on(1)), (0, 1));
    assert_eq!(ledger.oldest_on(1, LANE), Some(at(2)));
    let again: Vec<_> = (1..=5)
        .map(|position| ledger.enlist(LANE, at(position - 1), at(position), TIME))
        .collect();
    let (wanted, known) = (Enlisted::Wanted, Enlisted::Known);
    assert_eq!(again, [wanted, known, known, wanted, wanted]);
    let one = ledger.connect(0);
    send(&mut ledger, 0, one, 1);
    ledger.acknowledge(two, 2);
    ledger.acknowledge(one, 1);
    assert_eq!(ledger.prefix(LANE), Some(at(3)));
}

#[test]
fn a_connection_hands_nothing_over_out_of_turn() {
    let mut ledger = Ledger::new(1);
    let connection = ledger.connect(0);
    ledger.open(LANE, at(0));
    read(&mut ledger, 1, 3);
    send(&mut ledger, 0, connection, 2);
    assert!(!ledger.queue(0, change(LANE, 2)), "it is under way");
    assert!(!ledger.queue(0, change(LANE, 1)), "a later one has gone");
    let _connection = ledger.connect(0);
    assert!(ledger.queue(0, change(LANE, 1)));
    assert!(ledger.queue(0, change(LANE, 2)));
}

#[test]
fn what_is_gone_from_the_log_holds_nothing_back() {
    let mut ledger = Ledger::new(2);
    let (_, two) = (ledger.connect(0), ledger.connect(1));
    ledger.open(LANE, at(0));
    read(&mut ledger, 1, 4);
    send(&mut ledger, 1, two, 2);
    // Read again from the prefix, 1 and 3 are not there any more.
    assert_eq!(ledger.enlist(LANE, at(0), at(2), TIME), Enlisted::Known);
    assert_eq!(ledger.enlist(LANE, at(2), at(4), TIME), Enlisted::Wanted);
    ledger.acknowledge(two, 2);
    assert_eq!(ledger.prefix(LANE), Some(at(2)));
    ledger.forget(LANE, at(2), at(9));
    assert_eq!(ledger.oldest(LANE), None);
}

#[test]
fn the_longest_under_way_is_not_hidden_by_packet_ids_that_are_used_again() {
    let mut ledger = Ledger::new(1);
    let connection = ledger.connect(0);
    ledger.open(LANE, at(0));
    assert_eq!(ledger.longest_on(0), None);
    read(&mut ledger, 1, 4);
    for position in 1..=3 {
        assert!(ledger.queue(0, change(LANE, position)));
    }
    assert_eq!(
        ledger.longest_on(0),
        Some((1, change(LANE, 1))),
        "queued only"
    );
    for packet in 1..=3 {
        assert!(ledger.sent(connection, packet));
    }
    ledger.acknowledge(connection, 1);
    assert!(ledger.queue(0, change(LANE, 4)));
    assert!(ledger.sent(connection, 1));
    assert_eq!(ledger.longest_on(0), Some((2, change(LANE, 2))));
    ledger.connect(0);
    assert_eq!(ledger.longest_on(0), None);
    assert!(ledger.queue(0, change(LANE, 2)));
    assert_eq!(
        ledger.longest_on(0),
        Some((5, change(LANE, 2))),
        "a new number"
    );
}

#[test]
fn a_retained_message_that_was_lost_is_told() {
    let mut ledger = Ledger::new(2);
    let (_, two) = (ledger.connect(0), ledger.connect(1));
    ledger.open(LANE, at(0));
    let (lane, head) = (LANE, at(0));
    assert!(ledger.queue(1, Sending::Bookmark { lane, head }));
    assert!(ledger.sent(two, 1));
    assert_eq!(ledger.disconnect(0), []);
    assert_eq!(ledger.disconnect(1), [LANE]);
    assert_eq!(ledger.disconnect(1), []);
}

#[test]
fn an_acknowledgement_of_an_earlier_connection_moves_nothing() {
    let mut ledger = Ledger::new(1);
    let first = ledger.connect(0);
    ledger.open(LANE, at(0));
    read(&mut ledger, 1, 1);
    send(&mut ledger, 0, first, 1);
    let second = ledger.connect(0);
    send(&mut ledger, 0, second, 1);
    assert_eq!(ledger.acknowledge(first, 1), None);
    assert_eq!(ledger.prefix(LANE), Some(at(0)));
}

#[test]
fn an_acknowledgement_of_before_a_lane_began_again_counts_for_nothing() {
    let mut ledger = Ledger::new(1);
    let connection = ledger.connect(0);
    ledger.open(LANE, at(0));
    read(&mut ledger, 1, 2);
    send(&mut ledger, 0, connection, 1);
    ledger.open(LANE, at(0));
    read(&mut ledger, 1, 2);
    ledger.acknowledge(connection, 1);
    assert_eq!(ledger.prefix(LANE), Some(at(0)), "it is to be sent again");
}

#[test]
fn a_refused_change_holds_the_prefix() {
    let mut ledger = Ledger::new(1);
    let connection = ledger.connect(0);
    ledger.open(LANE, at(0));
    read(&mut ledger, 1, 2);
    for position in 1..=2 {
        send(&mut ledger, 0, connection, position);
    }
    assert_eq!(ledger.refuse(connection, 1), Some(change(LANE, 1)));
    ledger.acknowledge(connection, 2);
    assert_eq!(ledger.prefix(LANE), Some(at(0)));
}

#[test]
fn a_change_that_does_not_follow_is_not_taken() {
    let mut ledger = Ledger::new(1);
    ledger.connect(0);
    ledger.open(LANE, at(0));
    let mut enlist = |lane, after, position| ledger.enlist(lane, at(after), at(position), TIME);
    assert_eq!(enlist(LANE, 1, 2), Enlisted::Misplaced);
    assert_eq!(enlist(LANE, 0, 1), Enlisted::Wanted);
    assert_eq!(enlist(LANE, 1, 1), Enlisted::Wanted, "it waits still");
    assert_eq!(enlist(LaneId(2), 0, 1), Enlisted::Misplaced, "no such lane");
    assert!(!ledger.queue(0, change(LANE, 2)), "it was never read");
}

const LINES: usize = 2;

#[derive(Debug, Clone)]
enum Step {
    Read {
        lane: usize,
    },
    Send {
        lane: usize,
        line: usize,
    },
    Number {
        line: usize,
        packet: u16,
    },
    Acknowledge {
        line: usize,
        packet: u16,
        stale: bool,
    },
    Refuse {
        line: usize,
        packet: u16,
    },
    Reconnect {
        line: usize,
    },
    Reopen {
        lane: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let packet = 1_u16..6;
    let lanes = 0_usize..2;
    let over = 0..LINES;
    prop_oneof![
        6 => lanes.clone().prop_map(|lane| Step::Read { lane }),
        8 => (lanes.clone(), over.clone()).prop_map(|(lane, line)| Step::Send { lane, line }),
        8 => (over.clone(), packet.clone()).prop_map(|(line, packet)| Step::Number { line, packet }),
        8 => (over.clone(), packet.clone(), any::<bool>())
            .prop_map(|(line, packet, stale)| Step::Acknowledge { line, packet, stale }),
        1 => (over.clone(), packet).prop_map(|(line, packet)| Step::Refuse { line, packet }),
        1 => over.prop_map(|line| Step::Reconnect { line }),
        1 => lanes.prop_map(|lane| Step::Reopen { lane }),
    ]
}

/// What a broker and a log would know of a lane, kept apart from the ledger's way of keeping it.
#[derive(Default)]
struct Lane {
    read_to: u64,
    /// Read and to be handed over, by line.
    waiting: [BTreeSet<u64>; LINES],
    under_way: BTreeMap<u64, usize>,
    acknowledged: BTreeSet<u64>,
    prefix: u64,
}

/// The line of a change; a channel is a residue here.
fn line_of(position: u64) -> usize {
    usize::try_from(position % 3).unwrap() % LINES
}

impl Lane {
    fn settle(&mut self) {
        while self.acknowledged.remove(&(self.prefix + 1)) {
            self.prefix += 1;
        }
    }

    fn read_again(&mut self) {
        self.read_to = self.prefix;
        self.waiting = Default::default();
    }
}

#[derive(Default)]
struct Line {
    queue: Vec<(usize, u64)>,
    packets: BTreeMap<u16, (usize, u64)>,
}

proptest! {
    #[test]
    fn the_prefix_is_what_was_acknowledged_without_a_hole_on_all_lines(steps in prop::collection::vec(step(), 0..300)) {
        let mut lanes: [Lane; 2] = Default::default();
        let mut lines: [Line; LINES] = Default::default();
        let mut ledger = Ledger::new(LINES);
        let mut connections = [ledger.connect(0), ledger.connect(1)];
        let id = |lane: usize| LaneId(lane as u64);
        ledger.open(id(0), at(0));
        ledger.open(id(1), at(0));
        for step in steps {
            match step {
                Step::Read { lane: number } => {
                    let lane = &mut lanes[number];
                    lane.read_to += 1;
                    let position = lane.read_to;
                    let known = lane.under_way.contains_key(&position)
                        || lane.acknowledged.contains(&position)
                        || position <= lane.prefix;
                    let expected = if known { Enlisted::Known } else { Enlisted::Wanted };
                    let enlisted = ledger.enlist(id(number), at(position - 1), at(position), TIME);
                    prop_assert_eq!(enlisted, expected);
                    if !known {
                        lane.waiting[line_of(position)].insert(position);
                    }
                }
                Step::Send { lane, line } => {
                    if let Some(position) = lanes[lane].waiting[line].pop_first() {
                        prop_assert!(ledger.queue(line, change(id(lane), position)));
                        lanes[lane].under_way.insert(position, line);
                        lines[line].queue.push((lane, position));
                    }
                }
                Step::Number { line: number, packet } => {
                    let line = &mut lines[number];
                    if !line.packets.contains_key(&packet) && !line.queue.is_empty() {
                        prop_assert!(ledger.sent(connections[number], packet));
                        line.packets.insert(packet, line.queue.remove(0));
                    }
                }
                Step::Acknowledge { packet, stale: true, .. } => {
                    prop_assert_eq!(ledger.acknowledge(9_999, packet), None);
                }
                Step::Acknowledge { line, packet, stale: false } => {
                    let known = ledger.acknowledge(connections[line], packet).is_some();
                    let entry = lines[line].packets.remove(&packet);
                    prop_assert_eq!(known, entry.is_some());
                    if let Some((lane, position)) = entry {
                        let lane = &mut lanes[lane];
                        if lane.under_way.remove(&position).is_some() {
                            lane.acknowledged.insert(position);
                        }
                        lane.settle();
                    }
                }
                Step::Refuse { line, packet } => {
                    ledger.refuse(connections[line], packet);
                    lines[line].packets.remove(&packet);
                }
                Step::Reconnect { line } => {
                    ledger.disconnect(line);
                    connections[line] = ledger.connect(line);
                    lines[line] = Line::default();
                    for lane in &mut lanes {
                        lane.under_way.retain(|_, on| *on != line);
                        lane.read_again();
                    }
                }
                Step::Reopen { lane: number } => {
                    let lane = &mut lanes[number];
                    ledger.open(id(number), at(lane.prefix));
                    lane.under_way.clear();
                    lane.acknowledged.clear();
                    lane.read_again();
                }
            }
            for (number, lane) in lanes.iter().enumerate() {
                prop_assert_eq!(ledger.prefix(id(number)), Some(at(lane.prefix)));
            }
            for (number, line) in lines.iter().enumerate() {
                prop_assert_eq!(ledger.outstanding_on(number), line.queue.len() + line.packets.len());
            }
        }
    }
}
