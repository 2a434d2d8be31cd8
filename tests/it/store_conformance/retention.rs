//! Pruning, step by step: what is found, what is deleted, and what each statement walks along.

use std::{sync::Arc, time::Duration};

use changeover::{
    domain::{ModuleName, NewChange, Op, Position},
    store::{Aged, Bounds, Error, Lease, Note, Store, Swept, Which, Window},
    telemetry::Purpose,
};

use super::changes::{change, held, module, number};
use crate::support::database::{DatabaseUnderTest, Kind};

crate::on_each_database!(
    bounds_only_rise_and_only_under_the_lease,
    rows_go_in_windows,
    only_what_was_replaced_is_superseded,
    ages_are_the_databases,
    tombstones_go_and_keys_that_live_again_stay,
    every_statement_walks_an_index,
);

fn at(position: u64) -> Position {
    Position::new(position)
}

fn window(module: &ModuleName, which: Which, from: u64, through: u64, limit: u32) -> Window<'_> {
    Window {
        module,
        from: at(from),
        through: at(through),
        limit,
        which,
    }
}

/// A log of changes of these keys, a transaction each hundred.
async fn log(store: &Arc<dyn Store>, name: &ModuleName, keys: &[String]) -> Lease {
    let lease = held(store, name).await;
    for keys in keys.chunks(100) {
        let changes: Vec<_> = keys.iter().map(|key| change(name, "*", key, "1")).collect();
        store.append(&changes).await.unwrap();
        number(store, &lease).await.unwrap();
    }
    lease
}

fn keys(count: u64, different: u64) -> Vec<String> {
    (0..count).map(|n| format!("k{}", n % different)).collect()
}

async fn rows(database: &DatabaseUnderTest, table: &str) -> u64 {
    let sql = format!("SELECT CAST(count(*) AS CHAR(20)) FROM {table}");
    database.text(&sql).await.unwrap().trim().parse().unwrap()
}

async fn bounds_only_rise_and_only_under_the_lease(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("m");
    let lease = log(&store, &name, &keys(10, 10)).await;
    let bounds = async || {
        let head = store.heads(Purpose::Tail).await.unwrap().remove(0);
        (head.retained_from.get(), head.compacted_through.get())
    };
    let to = |retained_from, compacted_through| Bounds {
        retained_from: at(retained_from),
        compacted_through: at(compacted_through),
    };
    assert_eq!(bounds().await, (1, 0));
    store.raise_bounds(&lease, to(4, 7), None).await.unwrap();
    store.raise_bounds(&lease, to(2, 3), None).await.unwrap();
    assert_eq!(bounds().await, (4, 7), "they fell");
    let note = Note {
        actor: "ada".to_owned(),
        action: "compact".to_owned(),
        before: serde_json::json!({"retained_from": 4}),
        after: serde_json::json!({"retained_from": 99}),
        reason: "too large".to_owned(),
    };
    store
        .raise_bounds(&lease, to(99, 0), Some(&note))
        .await
        .unwrap();
    assert_eq!(bounds().await, (10, 7), "the newest row is promised");
    let entry = store.audit(Some(&name), None, 1).await.unwrap().remove(0);
    assert_eq!(
        (entry.actor, entry.action, entry.reason, entry.after),
        (note.actor, note.action, note.reason, note.after)
    );
    let late = Lease {
        token: lease.token - 1,
        ..lease
    };
    let refused = store.raise_bounds(&late, to(10, 9), None).await;
    assert!(matches!(refused, Err(Error::LeaseLost { module }) if module == name));
    assert_eq!(bounds().await, (10, 7));
}

async fn rows_go_in_windows(database: DatabaseUnderTest) {
    let store = database.store().await;
    let (name, other) = (module("m"), module("n"));
    log(&store, &name, &keys(25, 25)).await;
    log(&store, &other, &keys(5, 5)).await;
    let swept = |seen, last: Option<u64>| Swept {
        seen,
        meant: seen,
        last: last.map(at),
    };
    let first = window(&name, Which::All, 0, 20, 8);
    assert_eq!(store.count_rows(first).await.unwrap(), swept(8, Some(8)));
    assert_eq!(rows(&database, "change_log").await, 30);
    assert_eq!(store.delete_rows(first).await.unwrap(), swept(8, Some(8)));
    // From the beginning again, as after a crash: the first rows that are there.
    assert_eq!(store.delete_rows(first).await.unwrap(), swept(8, Some(16)));
    let next = window(&name, Which::All, 17, 20, 8);
    assert_eq!(store.delete_rows(next).await.unwrap(), swept(4, Some(20)));
    assert_eq!(store.delete_rows(next).await.unwrap(), swept(0, None));
    assert_eq!(rows(&database, "change_log").await, 10);
    assert_eq!(
        rows(&database, "change_log WHERE module = 'n'").await,
        5,
        "another module's"
    );
}

async fn only_what_was_replaced_is_superseded(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("m");
    let lease = log(&store, &name, &keys(30, 3)).await;
    // The same keys for somebody else are other keys.
    store
        .append(&[change(&name, "u1", "k0", "1")])
        .await
        .unwrap();
    number(&store, &lease).await.unwrap();
    let all = window(&name, Which::Superseded, 1, 31, 100);
    let swept = Swept {
        seen: 31,
        meant: 27,
        last: Some(at(31)),
    };
    assert_eq!(store.count_rows(all).await.unwrap(), swept);
    let part = window(&name, Which::Superseded, 1, 31, 10);
    let swept = store.delete_rows(part).await.unwrap();
    assert_eq!((swept.seen, swept.meant), (10, 10));
    store.delete_rows(all).await.unwrap();
    let left = store
        .rows_after(&[(name.clone(), Position::ZERO)], 100, Purpose::Tail)
        .await
        .unwrap();
    let left: Vec<_> = left.iter().map(|(_, row)| row.position.get()).collect();
    assert_eq!(left, [28, 29, 30, 31]);
}

async fn ages_are_the_databases(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("m");
    log(&store, &name, &keys(200, 200)).await;
    database
        .execute(
            "UPDATE change_log SET sequenced_at = sequenced_at - 3600000000 WHERE position <= 100",
        )
        .await;
    let older = async |secs| {
        let age = Duration::from_secs(secs);
        store.last_older_than(&name, age).await.unwrap()
    };
    assert_eq!(older(1_800).await, Some(at(100)), "the last of its tick");
    assert_eq!(older(7_200).await, None);
    assert_eq!(older(0).await, Some(at(200)));
    let first = store.first_above(&name, at(0)).await.unwrap().unwrap();
    assert_eq!(first.position, at(1));
    assert!(first.age >= Duration::from_hours(1), "{first:?}");
    let young = store.first_above(&name, at(100)).await.unwrap().unwrap();
    assert_eq!(young.position, at(101));
    assert!(young.age < Duration::from_mins(30), "{young:?}");
    assert_eq!(store.first_above(&name, at(200)).await.unwrap(), None);

    store.mark(&name, at(50), Position::ZERO).await.unwrap();
    store.mark(&name, at(50), Position::ZERO).await.unwrap();
    store.mark(&name, at(60), at(50)).await.unwrap();
    let positions = |marks: Vec<Aged>| marks.iter().map(|m| m.position.get()).collect::<Vec<_>>();
    assert_eq!(positions(store.marks(&name).await.unwrap()), [50, 60]);
    store.mark(&name, at(70), at(60)).await.unwrap();
    assert_eq!(positions(store.marks(&name).await.unwrap()), [60, 70]);
    assert!(store.marks(&module("n")).await.unwrap().is_empty());
}

async fn tombstones_go_and_keys_that_live_again_stay(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("m");
    let lease = log(&store, &name, &keys(5, 5)).await;
    let gone = |key: &str| NewChange {
        op: Op::Delete,
        ..change(&name, "*", key, "null")
    };
    let again = change(&name, "*", "k1", "2");
    store
        .append(&[gone("k0"), gone("k1"), gone("k2"), again, gone("k3")])
        .await
        .unwrap();
    number(&store, &lease).await.unwrap();
    // k0 at 6, k1 lives again, k2 at 8, k3 at 10.
    let drop = async |through, limit| store.drop_tombstones(&name, at(through), limit).await;
    assert_eq!(drop(9, 1).await.unwrap(), 1);
    assert_eq!(drop(9, 10).await.unwrap(), 1);
    assert_eq!(drop(9, 10).await.unwrap(), 0);
    assert_eq!(rows(&database, "entity_state").await, 3);
    assert_eq!(
        rows(&database, "entity_state WHERE op = 'delete'").await,
        1,
        "k3 is young"
    );
}

/// A large state and a large log: of small ones a database may read all.
async fn fill(database: &DatabaseUnderTest) {
    let (before, numbers) = match database.kind {
        Kind::MariaDb => ("", "(SELECT seq AS n FROM seq_301_to_40000) AS s"),
        Kind::Postgres => ("", "generate_series(301, 40000) AS s(n)"),
        Kind::Sqlite => (
            "WITH RECURSIVE s(n) AS (SELECT 301 UNION ALL SELECT n + 1 FROM s WHERE n < 40000) ",
            "s",
        ),
    };
    let key = match database.kind {
        Kind::MariaDb => "CONCAT('x', n)",
        Kind::Sqlite | Kind::Postgres => "'x' || n",
    };
    let state = format!(
        "INSERT INTO entity_state (module, audience, entity_key, op, position, value) \
         {before}SELECT 'm', '*', {key}, 'upsert', n, '1' FROM {numbers}"
    );
    let log = format!(
        "INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, previous, \
                                 occurred_at, sequenced_at) \
         {before}SELECT 'm', n, 1, '*', {key}, 'upsert', '1', n - 1, n, n FROM {numbers}"
    );
    database.execute(&state).await;
    database.execute(&log).await;
}

/// The statements as they stand in the store, with literals in place of parameters.
async fn every_statement_walks_an_index(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("m");
    log(&store, &name, &keys(300, 150)).await;
    fill(&database).await;
    if database.kind == Kind::Postgres {
        database
            .execute("ANALYZE change_log; ANALYZE entity_state")
            .await;
    }
    let statements = [
        "SELECT position FROM change_log WHERE module = 'm' AND sequenced_at < 5 \
         ORDER BY sequenced_at DESC, position DESC LIMIT 1",
        "SELECT position FROM change_log WHERE module = 'm' AND position > 7 ORDER BY position LIMIT 1",
        "SELECT position FROM change_log WHERE module = 'm' AND position >= 7 AND position <= 2000 \
         ORDER BY position LIMIT 100",
        "DELETE FROM change_log WHERE module = 'm' AND position >= 7 AND position <= 57",
        "DELETE FROM change_log WHERE module = 'm' AND position >= 7 AND position <= 57 AND EXISTS ( \
         SELECT 1 FROM entity_state s WHERE s.module = change_log.module \
         AND s.audience = change_log.audience AND s.entity_key = change_log.entity_key \
         AND s.position > change_log.position)",
        "SELECT module FROM entity_state WHERE module = 'm' AND op = 'delete' AND position <= 9 \
         ORDER BY position LIMIT 10",
    ];
    for sql in statements {
        let plan = database.plan(sql).await;
        println!("{sql}\n{plan}\n");
        let scans = [
            "SCAN change_log",
            "SCAN entity_state",
            "Seq Scan",
            "type=ALL",
            "type=index ",
        ];
        assert!(
            !scans.iter().any(|scan| plan.contains(scan)),
            "{sql}: {plan}"
        );
    }
}
