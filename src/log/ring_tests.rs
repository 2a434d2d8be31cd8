use proptest::prelude::*;

use super::*;
use crate::domain::{JsonText, Micros, Op};

fn change(position: u64, audience: &str) -> Arc<Change> {
    Arc::new(Change {
        epoch: Epoch::FIRST,
        position: Position::new(position),
        previous: Position::ZERO,
        audience: Audience::stored(audience),
        key: "k".into(),
        op: Op::Upsert,
        value: JsonText::stored("1"),
        change_id: None,
        occurred_at: Micros::new(0),
        sequenced_at: Micros::new(0),
    })
}

fn bounds(changes: usize, bytes: usize) -> config::tail::Tail {
    config::tail::Tail {
        changes,
        bytes,
        ..config::tail::Tail::default()
    }
}

fn filled(audiences: &[u8], bounds: &config::tail::Tail) -> Ring {
    let mut ring = Ring::default();
    for (position, audience) in (1..).zip(audiences) {
        assert!(ring.push(
            &change(position, &audience.to_string()),
            Position::ZERO,
            bounds
        ));
    }
    ring
}

fn positions(read: TailRead) -> (Vec<u64>, bool) {
    match read {
        TailRead::Found { changes, cut, .. } => {
            let positions = changes.iter().map(|change| change.position.get());
            (positions.collect(), cut)
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    /// The index gives what reading everything would.
    #[test]
    fn the_index_finds_what_a_scan_finds(
        audiences in prop::collection::vec(0..6_u8, 0..60),
        wanted in prop::collection::btree_set(0..6_u8, 0..4),
        kept in 1..70_usize,
        after in 0..60_u64,
        limit in 0..12_usize,
    ) {
        let ring = filled(&audiences, &bounds(kept, 1 << 20));
        let names: Vec<_> = wanted.iter().map(|a| Audience::stored(a.to_string())).collect();
        let edge = ring.edge();
        let read = ring.select(&names, Position::new(after), limit);
        if after < edge.covers_after.get() {
            prop_assert!(matches!(read, TailRead::Older(_)));
        } else if after > edge.last.get() {
            prop_assert!(matches!(read, TailRead::Above(_)));
        } else {
            let all = (1..).zip(&audiences);
            let scan = all.filter(|(p, a)| *p > after && wanted.contains(*a));
            let mut scan: Vec<u64> = scan.map(|(p, _)| p).collect();
            let cut = scan.len() > limit;
            scan.truncate(limit);
            prop_assert_eq!(positions(read), (scan, cut));
        }
    }

    /// What is evicted leaves the index too, and gives its bytes back.
    #[test]
    fn the_index_holds_exactly_the_ring(
        audiences in prop::collection::vec(0..40_u8, 0..200),
        kept in 1..50_usize,
        bytes in 1_024..20_000_usize,
    ) {
        let bounds = bounds(kept, bytes);
        let ring = filled(&audiences, &bounds);
        prop_assert!(ring.bytes + ring.channels.bytes() <= bytes);
        let last = audiences.len();
        let held = &audiences[last - ring.changes.len()..];
        let mut again = Channels::default();
        for audience in held {
            again.push(&change(1, &audience.to_string()));
        }
        prop_assert_eq!(ring.channels.bytes(), again.bytes());
    }
}

#[test]
fn a_channel_that_was_long_gives_its_memory_back() {
    let bounds = bounds(1_000, 1 << 30);
    let mut ring = Ring::default();
    for position in 1..=1_000 {
        ring.push(&change(position, "long"), Position::ZERO, &bounds);
    }
    for position in 1_001..2_000 {
        ring.push(&change(position, "other"), Position::ZERO, &bounds);
    }
    let long = ring.channels.held(&Audience::stored("long"));
    assert_eq!(long.map(|(entries, _)| entries), Some(1));
    assert!(long.is_some_and(|(_, room)| room <= 32), "{long:?}");
    ring.push(&change(2_000, "other"), Position::ZERO, &bounds);
    assert_eq!(ring.channels.held(&Audience::stored("long")), None);
}
