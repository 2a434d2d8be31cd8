use super::*;
use crate::domain::{JsonText, Micros, Op};

fn change(position: u64) -> Arc<Change> {
    Arc::new(Change {
        epoch: Epoch::FIRST,
        position: Position::new(position),
        previous: Position::ZERO,
        audience: Audience::everyone(),
        key: "k".into(),
        op: Op::Upsert,
        value: JsonText::stored("1"),
        change_id: None,
        occurred_at: Micros::new(0),
        sequenced_at: Micros::new(0),
    })
}

#[test]
fn a_log_that_begins_is_followed_from_its_first_change() {
    let module: ModuleName = "m".parse().unwrap();
    let tail = Tail::new(
        &config::tail::Tail::default(),
        std::slice::from_ref(&module),
    );
    assert!(
        !tail.append(&module, &[change(2)]),
        "of a log that was there before, this is not all"
    );
    assert!(tail.append(&module, &[change(1), change(2)]));
    assert_eq!(tail.edge(&module).unwrap().last, Position::new(2));
}

fn head(head: u64, retained_from: u64, compacted_through: u64) -> Head {
    Head {
        module: "m".parse().unwrap(),
        epoch: Epoch::FIRST,
        head: Position::new(head),
        retained_from: Position::new(retained_from),
        stateless_from: None,
        compacted_through: Position::new(compacted_through),
        sequenced_through: Micros::new(0),
        lease_holder: None,
        lease_vacant: true,
    }
}

#[test]
fn only_what_was_compacted_is_passed_over() {
    let module: ModuleName = "m".parse().unwrap();
    let bounds = config::tail::Tail {
        changes: 2,
        ..config::tail::Tail::default()
    };
    let tail = Tail::new(&bounds, std::slice::from_ref(&module));
    tail.adopt_head(&head(0, 1, 0));
    let rows = [change(3), change(4)];
    let after = Position::ZERO;
    assert!(!tail.append(&module, &rows), "a hole without a reason");
    assert!(!tail.append_compacted(&head(4, 1, 1), after, &rows));
    assert!(
        !tail.append_compacted(&head(4, 2, 2), after, &rows),
        "what was pruned is missing"
    );
    assert!(tail.append_compacted(&head(4, 1, 2), after, &rows));
    assert!(tail.append_compacted(&head(8, 1, 7), Position::new(4), &[change(8)]));
    assert!(
        !tail.append_compacted(&head(12, 1, 11), Position::new(9), &[change(12)]),
        "what lies between is not known"
    );
    let edge = tail.edge(&module).unwrap();
    assert_eq!(edge.covers_after, Position::new(3), "3 was let go");
    assert_eq!(edge.last, Position::new(8));
    for after in 3..8 {
        let found = tail.read_all(&module, Position::new(after), 10);
        let Some(TailRead::Found { changes, .. }) = found else {
            panic!("{found:?}");
        };
        assert_eq!(changes.len(), if after < 4 { 2 } else { 1 });
    }
}
