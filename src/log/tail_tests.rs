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
