use super::*;
use crate::domain::{JsonText, Micros};

fn change(position: u64, key: &str, op: Op) -> Arc<Change> {
    Arc::new(Change {
        epoch: Epoch::FIRST,
        position: Position::new(position),
        previous: Position::ZERO,
        audience: Audience::everyone(),
        key: key.into(),
        op,
        value: JsonText::null(),
        change_id: None,
        occurred_at: Micros::default(),
        sequenced_at: Micros::default(),
    })
}

fn held(through: u64, items: &[(u64, &str)]) -> Held {
    let items = items.iter().map(|(position, key)| {
        let change = change(*position, key, Op::Upsert);
        Arc::new(state_item(&change))
    });
    Held {
        epoch: Epoch::FIRST,
        through: Position::new(through),
        items: Some(items.collect()),
    }
}

fn shown(held: &Held) -> Vec<(u64, &str)> {
    let items = held.items.as_deref().unwrap().iter();
    items
        .map(|item| (item.position.get(), &*item.key))
        .collect()
}

fn key(module: &str) -> StateKey {
    StateKey {
        module: module.parse().unwrap(),
        audiences: Audiences::everyone(),
    }
}

#[test]
fn changes_replace_remove_and_add() {
    let before = held(3, &[(1, "a"), (2, "b"), (3, "c")]);
    let changes = [
        change(4, "a", Op::Upsert),
        change(5, "b", Op::Delete),
        change(6, "d", Op::Upsert),
        change(7, "d", Op::Delete),
        change(8, "e", Op::Upsert),
    ];
    let after = before.advance(&changes, Position::new(9)).unwrap();
    assert_eq!(shown(&after), [(3, "c"), (4, "a"), (8, "e")]);
    assert_eq!(after.through, Position::new(9));
}

#[test]
fn a_change_below_what_is_held_for_its_key_does_not_apply() {
    let before = held(1, &[(5, "a")]);
    let changes = [change(2, "a", Op::Delete), change(3, "a", Op::Upsert)];
    let after = before.advance(&changes, Position::new(5)).unwrap();
    assert_eq!(shown(&after), [(5, "a")]);
}

#[test]
fn what_is_too_large_stays_so_until_something_changes() {
    let too_large = Held {
        items: None,
        ..held(1, &[])
    };
    assert!(too_large.advance(&[], Position::new(9)).is_some());
    let changes = [change(2, "a", Op::Delete)];
    assert!(too_large.advance(&changes, Position::new(9)).is_none());
}

#[test]
fn the_least_recently_used_goes_first() {
    let cache = StateCache::new(2, usize::MAX);
    for module in ["a", "b"] {
        cache.put(key(module), held(1, &[]));
    }
    assert!(cache.get(&key("a")).is_some());
    cache.put(key("c"), held(1, &[]));
    assert!(cache.get(&key("a")).is_some());
    assert!(cache.get(&key("b")).is_none());
}

#[test]
fn bytes_are_bounded() {
    let one = held(1, &[(1, "a")]).footprint_bytes();
    let cache = StateCache::new(100, 2 * one);
    for module in ["a", "b", "c"] {
        cache.put(key(module), held(1, &[(1, "a")]));
    }
    assert!(cache.get(&key("a")).is_none());
    assert!(cache.get(&key("c")).is_some());
    cache.put(key("c"), held(2, &[(1, "a"), (2, "b"), (3, "c"), (4, "d")]));
    assert!(
        cache.get(&key("c")).is_none(),
        "larger than all that is allowed"
    );
    assert_eq!(cache.lock().bytes, 0);
}

#[test]
fn a_later_state_is_not_replaced_by_an_earlier_one() {
    let cache = StateCache::new(2, usize::MAX);
    cache.put(key("a"), held(2, &[]));
    cache.put(key("a"), held(1, &[]));
    assert_eq!(cache.get(&key("a")).unwrap().through, Position::new(2));
}
