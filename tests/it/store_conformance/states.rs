//! The state of a module whose changes were numbered without state for a while: what it lacks is known, it is not read
//! until it is whole, and mending it races with nobody.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use changeover::{
    domain::{Audience, Micros, ModuleName, Position},
    store::{EpochBump, Error, Ground, Head, Lease, Mended, Result, StateItem, StateTicks, Store},
    telemetry::Purpose,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    changes::{LEASE, change, held, module, number, number_with},
    numbering::read,
};
use crate::support::database::DatabaseUnderTest;

crate::on_each_database!(
    are_mended_from_the_log,
    are_mended_in_parts,
    are_lost_with_the_log,
    keep_what_they_had_over_a_new_epoch,
    are_never_read_with_a_hole,
    of_an_older_schema_are_looked_at_once,
);

const EVERYTHING: u32 = 1_000_000;

async fn write(store: &Arc<dyn Store>, lease: &Lease, keys: &[&str], state: bool) {
    let name = &lease.module;
    let changes: Vec<_> = keys.iter().map(|key| change(name, "*", key, "1")).collect();
    store.append(&changes).await.unwrap();
    number_with(store, lease, state).await.unwrap();
}

async fn head(store: &Arc<dyn Store>, name: &ModuleName) -> Head {
    let heads = store.heads(Purpose::State).await.unwrap();
    let mut heads = heads.into_iter().filter(|head| head.module == *name);
    heads.next().unwrap()
}

async fn state(store: &Arc<dyn Store>, name: &ModuleName) -> Result<Vec<StateItem>> {
    let everyone = [Audience::everyone()];
    let all = read(name, &everyone, 0, EVERYTHING);
    store.read_state(all, true, Purpose::State).await
}

/// The state by its keys and positions.
async fn shown(store: &Arc<dyn Store>, name: &ModuleName) -> Vec<(String, u64)> {
    let items = state(store, name).await.unwrap();
    let item = |item: StateItem| (item.key.into(), item.position.get());
    items.into_iter().map(item).collect()
}

fn owned(items: &[(&str, u64)]) -> Vec<(String, u64)> {
    let item = |(key, position): &(&str, u64)| ((*key).to_owned(), *position);
    items.iter().map(item).collect()
}

fn is_refused<T: std::fmt::Debug>(read: &Result<T>) -> bool {
    matches!(read, Err(Error::StateNotWhole { .. }))
}

async fn are_mended_from_the_log(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("one");
    let (lease, other) = (
        held(&store, &name).await,
        held(&store, &module("two")).await,
    );
    write(&store, &lease, &["a", "b"], true).await;
    write(&store, &other, &["x"], true).await;
    assert_eq!(head(&store, &name).await.stateless_from, None);
    write(&store, &lease, &["c", "a", "c"], false).await;
    assert_eq!(
        head(&store, &name).await.stateless_from,
        Some(Position::new(3))
    );
    write(&store, &lease, &["d", "b"], true).await;
    write(&store, &lease, &["e"], false).await;
    // A batch of nothing changes nothing.
    number(&store, &lease).await.unwrap();
    assert_eq!(
        head(&store, &name).await.stateless_from,
        Some(Position::new(3)),
        "the first one stays, although a newer change is in the state"
    );
    assert!(is_refused(&state(&store, &name).await));
    let everyone = [Audience::everyone()];
    let ticks = StateTicks {
        module: &name,
        audiences: &everyone,
        from: Micros::default(),
        before: Micros::new(i64::MAX),
        limit: 100,
    };
    let by_time = store.read_state_ticks(ticks, Purpose::State).await;
    assert!(is_refused(&by_time));
    assert_eq!(shown(&store, &other.module).await, owned(&[("x", 1)]));

    // Under nobody's lease: the lock of the head row is enough.
    let mended = database.open().await.mend_state(&name).await.unwrap();
    assert_eq!(mended, Mended::Whole { keys: 3 });
    let expected = [("a", 4), ("c", 5), ("d", 6), ("b", 7), ("e", 8)];
    assert_eq!(shown(&store, &name).await, owned(&expected));
    assert_eq!(head(&store, &name).await.stateless_from, None);
    let rows = store
        .rows_after(&[(name.clone(), Position::ZERO)], 100, Purpose::Tail)
        .await
        .unwrap();
    for (at, item) in store.read_state_ticks(ticks, Purpose::State).await.unwrap() {
        let row = rows.iter().find(|(_, row)| row.position == item.position);
        assert_eq!(at, row.unwrap().1.sequenced_at);
    }
    let again = store.mend_state(&name).await.unwrap();
    assert_eq!(again, Mended::Whole { keys: 0 });
    let unknown = store.mend_state(&module("unknown")).await.unwrap();
    assert_eq!(unknown, Mended::Whole { keys: 0 });
    write(&store, &lease, &["f"], false).await;
    assert_eq!(
        head(&store, &name).await.stateless_from,
        Some(Position::new(9))
    );
}

/// More changes than one transaction mends, with keys that come again in another one.
async fn are_mended_in_parts(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("one");
    let lease = held(&store, &name).await;
    write(&store, &lease, &["k1", "k2", "gone"], true).await;
    for round in 0..5_u64 {
        let keys: Vec<_> = (0..1_000)
            .map(|n| format!("k{}", (n + round * 300) % 1_700))
            .collect();
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        write(&store, &lease, &keys, false).await;
    }
    let mended = store.mend_state(&name).await.unwrap();
    assert!(matches!(mended, Mended::Whole { keys } if keys > 1_700));
    assert_holds_the_log(&store, &name).await;
}

/// The state is what the log says, key by key.
async fn assert_holds_the_log(store: &Arc<dyn Store>, name: &ModuleName) {
    let from = [(name.clone(), Position::ZERO)];
    let rows = store.rows_after(&from, EVERYTHING, Purpose::Tail).await;
    let last: BTreeMap<_, _> = rows
        .unwrap()
        .into_iter()
        .map(|(_, row)| (row.key.clone(), row))
        .collect();
    let items = state(store, name).await.unwrap();
    assert_eq!(items.len(), last.len());
    for item in items {
        let row = &last[&item.key];
        assert_eq!(
            (item.position, item.op, item.value),
            (row.position, row.op, row.value.clone())
        );
    }
}

async fn are_lost_with_the_log(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("one");
    let lease = held(&store, &name).await;
    write(&store, &lease, &["a", "b", "c"], true).await;
    write(&store, &lease, &["d", "e"], false).await;
    let prune = |from: u64| {
        format!(
            "UPDATE module_head SET retained_from = {from}; \
             DELETE FROM change_log WHERE module = 'one' AND position < {from}"
        )
    };
    database.execute(&prune(5)).await;
    assert_eq!(store.mend_state(&name).await.unwrap(), Mended::Lost);
    assert!(is_refused(&state(&store, &name).await));
    // Up to what the state holds itself the log may be pruned.
    database
        .execute("UPDATE module_head SET stateless_from = 5")
        .await;
    assert_eq!(
        store.mend_state(&name).await.unwrap(),
        Mended::Whole { keys: 1 }
    );
}

fn bump() -> EpochBump {
    EpochBump {
        module: module("one"),
        ground: Ground::Asked,
        witnessed: None,
        witnessed_time: Micros::default(),
        pace: None,
        actor: "ann".to_owned(),
        reason: "restored".to_owned(),
    }
}

/// What the state lacks of an epoch is lost with it; what it holds it keeps, also if its `state` is off.
async fn keep_what_they_had_over_a_new_epoch(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("one");
    let lease = held(&store, &name).await;
    write(&store, &lease, &["a", "b"], true).await;
    store.bump_epoch(&bump(), LEASE).await.unwrap().unwrap();
    let lease = held(&store, &name).await;
    write(&store, &lease, &["c", "a"], false).await;
    assert_eq!(
        store.mend_state(&name).await.unwrap(),
        Mended::Whole { keys: 2 }
    );
    let expected = [("b", 1_000_000), ("c", 1_000_001), ("a", 1_000_002)];
    assert_eq!(shown(&store, &name).await, owned(&expected));

    write(&store, &lease, &["d"], false).await;
    store.bump_epoch(&bump(), LEASE).await.unwrap().unwrap();
    assert_eq!(store.mend_state(&name).await.unwrap(), Mended::Lost);
    let lease = held(&store, &name).await;
    write(&store, &lease, &["e"], true).await;
    // The newest change is in the state, and yet it is not whole.
    assert_eq!(store.mend_state(&name).await.unwrap(), Mended::Lost);
    assert!(is_refused(&state(&store, &name).await));
}

/// One replica numbers, now with state and now without, while another one mends and reads: what it reads holds
/// everything that was numbered before.
async fn are_never_read_with_a_hole(database: DatabaseUnderTest) {
    const ROUNDS: u64 = 150;
    let seed = rand::random();
    println!("seed {seed}");
    let store = database.store().await;
    let name = module("one");
    let lease = held(&store, &name).await;
    let ended = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(mend_and_read(
        database.open().await,
        name.clone(),
        Arc::clone(&ended),
    ));
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..ROUNDS {
        let keys: Vec<_> = (0..rng.random_range(1..8))
            .map(|_| format!("k{}", rng.random_range(0..40)))
            .collect();
        let changes: Vec<_> = keys
            .iter()
            .map(|key| change(&name, "*", key, "1"))
            .collect();
        store.append(&changes).await.unwrap();
        let state = rng.random_bool(0.5);
        // The database may be busy with the other one.
        while let Err(error) = number_with(&store, &lease, state).await {
            assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        }
    }
    ended.store(true, SeqCst);
    let (whole, refused) = reader.await.unwrap();
    println!("{whole} reads of a whole state, {refused} refused");
    store.mend_state(&name).await.unwrap();
    assert_holds_the_log(&store, &name).await;
}

/// Returns how many reads found a whole state, and how many were refused.
async fn mend_and_read(
    store: Arc<dyn Store>,
    name: ModuleName,
    ended: Arc<AtomicBool>,
) -> (u64, u64) {
    let (mut whole, mut refused) = (0, 0);
    while !ended.load(SeqCst) {
        if (whole + refused) % 3 == 0 {
            // The database may be busy with the other one.
            let mended = store.mend_state(&name).await;
            let busy = matches!(mended, Err(Error::Unavailable { .. }));
            assert!(
                busy || matches!(mended, Ok(Mended::Whole { .. })),
                "{mended:?}"
            );
        }
        let before = head(&store, &name).await.head;
        let items = match state(&store, &name).await {
            Ok(items) => items,
            refusal => {
                let busy = matches!(refusal, Err(Error::Unavailable { .. }));
                assert!(busy || is_refused(&refusal), "{refusal:?}");
                refused += 1;
                continue;
            }
        };
        whole += 1;
        let items: BTreeMap<_, _> = items
            .iter()
            .map(|item| (&item.key, item.position))
            .collect();
        let from = [(name.clone(), Position::ZERO)];
        let rows = store.rows_after(&from, EVERYTHING, Purpose::Tail).await;
        for (_, row) in rows.unwrap() {
            let is_there = items.get(&row.key).is_some_and(|at| *at >= row.position);
            assert!(
                row.position > before || is_there,
                "{row:?} is missing in a state that was read when the log ended at {before:?}"
            );
        }
    }
    (whole, refused)
}

async fn of_an_older_schema_are_looked_at_once(database: DatabaseUnderTest) {
    let store = database.store().await;
    let (whole, open) = (module("whole"), module("open"));
    let lease = held(&store, &whole).await;
    write(&store, &lease, &["a"], false).await;
    write(&store, &lease, &["a"], true).await;
    let lease = held(&store, &open).await;
    write(&store, &lease, &["a"], true).await;
    write(&store, &lease, &["b"], false).await;
    // As a program of before left it.
    for sql in [
        "ALTER TABLE module_head DROP COLUMN stateless_from",
        "DELETE FROM _sqlx_migrations WHERE version = 5",
    ] {
        database.execute(sql).await;
    }
    store.close().await;
    let store = database.open().await;
    store.migrate().await.unwrap();
    assert_eq!(head(&store, &whole).await.stateless_from, None);
    let begin = Some(Position::new(1));
    assert_eq!(head(&store, &open).await.stateless_from, begin);
    assert_eq!(
        store.mend_state(&open).await.unwrap(),
        Mended::Whole { keys: 1 }
    );
    store.close().await;
}
