//! Closing ticks under a lease, finding where one begins, and the state by time.

use changeover::{
    domain::{Audience, Micros, Position},
    store::{Closing, StateTicks, Store},
    telemetry::Purpose,
};

use super::changes::{change, held, module, number};
use crate::support::database::{DatabaseUnderTest, Kind};

crate::on_each_database!(
    are_closed_by_the_holder_only,
    are_found_by_their_rows,
    order_the_state,
    of_an_older_state_are_filled_in,
);

const FUTURE: Micros = Micros::new(4_000_000_000_000_000);

async fn are_closed_by_the_holder_only(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("a");
    let lease = held(&store, &name).await;
    let close = async |token, through| {
        let mut lease = lease.clone();
        lease.token = token;
        let closing = Closing { lease, through };
        store.close_ticks(&[closing]).await.unwrap()
    };
    assert_eq!(close(lease.token - 1, FUTURE).await, []);
    let by_clock = close(lease.token, Micros::default()).await.remove(0);
    assert_eq!((by_clock.head, &by_clock.module), (Position::ZERO, &name));
    assert!(by_clock.through <= by_clock.now && by_clock.through.get() > 0);
    let asked = close(lease.token, FUTURE).await.remove(0);
    assert_eq!(asked.through, FUTURE);
    let kept = close(lease.token, Micros::default()).await.remove(0);
    assert_eq!(kept.through, FUTURE, "it never goes back");
    store.append(&[change(&name, "*", "k", "1")]).await.unwrap();
    number(&store, &lease).await.unwrap();
    let from = [(name, Position::ZERO)];
    let rows = store.rows_after(&from, 9, Purpose::Tail).await.unwrap();
    assert_eq!(rows[0].1.sequenced_at, FUTURE);
}

/// Numbers one batch for each time, of as many rows.
async fn filled(database: &DatabaseUnderTest, batches: &[(i64, u64)]) -> std::sync::Arc<dyn Store> {
    let store = database.store().await;
    let name = module("a");
    let lease = held(&store, &name).await;
    let mut key = 0;
    for (after, rows) in batches {
        let through = Micros::new(FUTURE.get() + after);
        let closing = Closing {
            lease: lease.clone(),
            through,
        };
        store.close_ticks(&[closing]).await.unwrap();
        let changes: Vec<_> = (0..*rows)
            .map(|row| {
                key += 1;
                let audience = if row % 2 == 0 { "*" } else { "u" };
                change(&name, audience, &format!("k{key}"), "1")
            })
            .collect();
        store.append(&changes).await.unwrap();
        number(&store, &lease).await.unwrap();
    }
    store
}

async fn are_found_by_their_rows(database: DatabaseUnderTest) {
    let store = filled(&database, &[(0, 3), (10, 2), (20, 1)]).await;
    let name = module("a");
    let after = async |from: i64| {
        let from = Micros::new(FUTURE.get() + from);
        let bounds = store.tick_bounds(&name, from, Purpose::Poll).await.unwrap();
        (
            bounds.after.get(),
            bounds.oldest.map(|at| at.get() - FUTURE.get()),
        )
    };
    for (from, expected) in [(-5, 0), (0, 0), (1, 3), (10, 3), (11, 5), (20, 5), (21, 6)] {
        assert_eq!(after(from).await, (expected, Some(0)), "{from}");
    }
    database
        .execute("UPDATE module_head SET retained_from = 4 WHERE module = 'a'")
        .await;
    assert_eq!(
        after(11).await,
        (5, Some(10)),
        "by what is promised, not by what is there"
    );
    let none = store
        .tick_bounds(&module("no"), FUTURE, Purpose::Poll)
        .await
        .unwrap();
    assert_eq!((none.after, none.oldest), (Position::ZERO, None));
}

async fn order_the_state(database: DatabaseUnderTest) {
    let store = filled(&database, &[(0, 3), (10, 2), (20, 1)]).await;
    let name = module("a");
    let audiences = ["u", "*"].map(|audience| Audience::new(audience, 64).unwrap());
    let items = async |from: i64, before: i64, limit| {
        let read = StateTicks {
            module: &name,
            audiences: &audiences,
            from: Micros::new(FUTURE.get() + from),
            before: Micros::new(FUTURE.get() + before),
            limit,
        };
        let items = store.read_state_ticks(read, Purpose::State).await.unwrap();
        let item = |(at, item): &(Micros, changeover::store::StateItem)| {
            (at.get() - FUTURE.get(), item.position.get())
        };
        items.iter().map(item).collect::<Vec<_>>()
    };
    let all = [(0, 1), (0, 2), (0, 3), (10, 4), (10, 5), (20, 6)];
    assert_eq!(items(0, 100, 10).await, all);
    assert_eq!(items(0, 100, 2).await, all[..2]);
    assert_eq!(items(1, 20, 10).await, all[3..5]);
}

async fn of_an_older_state_are_filled_in(database: DatabaseUnderTest) {
    let store = filled(&database, &[(0, 3), (10, 2)]).await;
    // As a program of before left it, with the first rows pruned.
    let drop_index = match database.kind {
        Kind::Sqlite | Kind::Postgres => "DROP INDEX IF EXISTS entity_state_tick",
        Kind::MariaDb => "DROP INDEX entity_state_tick ON entity_state",
    };
    for sql in [
        "DELETE FROM change_log WHERE position < 3",
        drop_index,
        "ALTER TABLE entity_state DROP COLUMN sequenced_at",
        "ALTER TABLE module_head DROP COLUMN lost_through",
        "DELETE FROM _sqlx_migrations WHERE version IN (4, 8)",
    ] {
        database.execute(sql).await;
    }
    store.close().await;
    let store = database.open().await;
    store.migrate().await.unwrap();
    let at = async |position: u64| {
        let sql = format!(
            "SELECT CAST(sequenced_at AS TEXT) FROM entity_state WHERE position = {position}"
        );
        let text = database.text(&sql).await.unwrap();
        text.parse::<i64>().unwrap() - FUTURE.get()
    };
    assert_eq!([at(1).await, at(3).await, at(5).await], [0, 0, 10]);
    store.close().await;
}
