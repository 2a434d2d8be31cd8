//! Pages of the log and of the state, and their bounds.

use changeover::{
    domain::{Audience, Epoch, NewChange, Op, Position},
    store::ChannelRead,
    telemetry::Purpose,
};

use super::{
    changes::{change, held, module, number},
    numbering::read,
};
use crate::support::database::DatabaseUnderTest;

crate::on_each_database!(
    the_log_merges_channels_by_position,
    the_tail_follows_every_module_up_to_a_limit,
    the_state_keeps_the_last_change_and_tombstones,
    heads_of_some_modules_are_those_of_all_without_the_others,
);

async fn heads_of_some_modules_are_those_of_all_without_the_others(database: DatabaseUnderTest) {
    let store = database.store().await;
    let names = ["one", "two", "three"].map(module);
    for name in &names {
        let lease = held(&store, name).await;
        store.append(&[change(name, "*", "k", "1")]).await.unwrap();
        number(&store, &lease).await.unwrap();
    }
    let of = async |asked: &[&str]| {
        let asked: Vec<_> = asked.iter().map(|name| module(name)).collect();
        let heads = store.heads_of(&asked, Purpose::Tail).await.unwrap();
        let shown = heads
            .into_iter()
            .map(|head| (head.module.to_string(), head.head.get()));
        shown.collect::<Vec<_>>()
    };
    let at_one = |name: &str| (name.to_owned(), 1);
    assert_eq!(of(&["two"]).await, [at_one("two")]);
    let asked = ["two", "nobody", "one"];
    assert_eq!(of(&asked).await, [at_one("one"), at_one("two")], "by name");
    let mut whole = store.heads(Purpose::Tail).await.unwrap();
    whole.retain(|head| head.module == names[2]);
    let alone = store.heads_of(&names[2..], Purpose::Tail).await.unwrap();
    assert_eq!(alone.len(), 1);
    assert_eq!(alone[0].cursor(), whole[0].cursor());
    assert_eq!(alone[0].lease_holder, whole[0].lease_holder);
}

async fn the_log_merges_channels_by_position(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("log");
    let lease = held(&store, &name).await;
    let order = ["a", "b", "*", "a", "c", "b", "a", "*"];
    store
        .append(&order.map(|audience| change(&name, audience, "k", "1")))
        .await
        .unwrap();
    number(&store, &lease).await.unwrap();
    let audiences = ["*", "a"].map(|audience| Audience::new(audience, 64).unwrap());
    let positions = async |read: ChannelRead<'_>| {
        let page = store.read_log(read, Purpose::Poll).await.unwrap();
        assert_eq!(
            (page.epoch, page.retained_from),
            (Epoch::FIRST, Position::new(1))
        );
        page.changes
            .iter()
            .map(|change| change.position.get())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        positions(read(&name, &audiences, 0, 100)).await,
        [1, 3, 4, 7, 8]
    );
    assert_eq!(positions(read(&name, &audiences, 1, 3)).await, [3, 4, 7]);
    let through = ChannelRead {
        through: Position::new(4),
        ..read(&name, &audiences, 1, 3)
    };
    assert_eq!(positions(through).await, [3, 4]);
    assert_eq!(positions(read(&name, &audiences, 8, 3)).await, [0_u64; 0]);
    assert_eq!(positions(read(&name, &[], 0, 3)).await, [0_u64; 0]);
}

async fn the_tail_follows_every_module_up_to_a_limit(database: DatabaseUnderTest) {
    let store = database.store().await;
    let (one, two) = (module("one"), module("two"));
    for name in [&one, &two] {
        let lease = held(&store, name).await;
        let rows: Vec<_> = (0..5)
            .map(|row| change(name, "*", &row.to_string(), "1"))
            .collect();
        store.append(&rows).await.unwrap();
        number(&store, &lease).await.unwrap();
    }
    let from = [
        (two.clone(), Position::new(1)),
        (one.clone(), Position::new(4)),
        (module("no"), Position::ZERO),
    ];
    let rows = store.rows_after(&from, 3, Purpose::Tail).await.unwrap();
    let found: Vec<_> = rows
        .iter()
        .map(|(name, row)| (name.as_str(), row.position.get()))
        .collect();
    assert_eq!(found, [("one", 5), ("two", 2), ("two", 3), ("two", 4)]);
    assert!(
        store
            .rows_after(&[], 3, Purpose::Tail)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn the_state_keeps_the_last_change_and_tombstones(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("state");
    let lease = held(&store, &name).await;
    let keys = ["a", "b", "c", "a"];
    store
        .append(&keys.map(|key| change(&name, "*", key, "1")))
        .await
        .unwrap();
    number(&store, &lease).await.unwrap();
    let gone = NewChange {
        op: Op::Delete,
        ..change(&name, "*", "b", "null")
    };
    store
        .append(&[gone, change(&name, "u", "a", "7")])
        .await
        .unwrap();
    number(&store, &lease).await.unwrap();
    let audiences = ["u", "*"].map(|audience| Audience::new(audience, 64).unwrap());
    let items = async |tombstones, after, limit| {
        let read = read(&name, &audiences, after, limit);
        let items = store
            .read_state(read, tombstones, Purpose::State)
            .await
            .unwrap();
        items
            .iter()
            .map(|i| (i.key.to_string(), i.position.get(), i.op))
            .collect::<Vec<_>>()
    };
    let item = |key: &str, position, op| (key.to_owned(), position, op);
    let all = [
        item("c", 3, Op::Upsert),
        item("a", 4, Op::Upsert),
        item("b", 5, Op::Delete),
        item("a", 6, Op::Upsert),
    ];
    assert_eq!(items(true, 0, 10).await, all);
    assert_eq!(items(true, 3, 2).await, all[1..3]);
    assert_eq!(items(false, 3, 2).await, [all[1].clone(), all[3].clone()]);
}
