//! On a server, what others hold stands in nobody's way: rows that are not committed yet, and the heads of modules
//! that are not ours. SQLite has one writer at a time, so there is nothing to show there.

use changeover::{domain::Position, store::Share, telemetry::Purpose};

use super::changes::{LEASE, change, held, module, number};
use crate::support::database::DatabaseUnderTest;

crate::on_each_database!(
    no_wait_for_rows_that_are_not_committed,
    no_wait_for_heads_of_other_modules,
);

/// As many rows as make a look through the whole table seem cheap.
async fn no_wait_for_rows_that_are_not_committed(database: DatabaseUnderTest) {
    if !database.is_server() {
        return;
    }
    let store = database.store().await;
    let name = module("busy");
    let lease = held(&store, &name).await;
    let mut idle = database.producer().await;
    idle.execute("BEGIN").await;
    let row = "INSERT INTO outbox (module, entity_key, value) VALUES ('busy', 'idle', '1')";
    idle.execute(row).await;
    for rows in [1, 3, 700] {
        let rows: Vec<_> = (0..rows)
            .map(|row| change(&name, "*", &format!("k{row}"), "1"))
            .collect();
        store.append(&rows).await.unwrap();
        number(&store, &lease).await.unwrap();
    }
    idle.execute("COMMIT").await;
    number(&store, &lease).await.unwrap();
    let heads = store.heads(Purpose::Tail).await.unwrap();
    assert_eq!(heads[0].head, Position::new(705));
}

async fn no_wait_for_heads_of_other_modules(database: DatabaseUnderTest) {
    if !database.is_server() {
        return;
    }
    let store = database.store().await;
    let names = ["a", "b", "c", "d", "e", "z"].map(module);
    store.ensure_modules(&names).await.unwrap();
    let ours = &names[..5];
    let mut other = database.producer().await;
    other.execute("BEGIN").await;
    other
        .execute("SELECT head FROM module_head WHERE module = 'z' FOR UPDATE")
        .await;
    store.ensure_modules(&names).await.unwrap();
    let leases = store
        .acquire(ours, "test", LEASE, Share::ALL)
        .await
        .unwrap();
    assert_eq!(leases.len(), 5);
    assert_eq!(store.renew(&leases, LEASE).await.unwrap(), leases);
    // Theirs is not free while they hold its row, and does not keep us waiting.
    let more = store.acquire(&names, "other", LEASE, Share::ALL).await;
    assert_eq!(more.unwrap(), []);
    for lease in &leases {
        store
            .append(&[change(&lease.module, "*", "k", "1")])
            .await
            .unwrap();
        number(&store, lease).await.unwrap();
    }
    store.begin_numbering(&leases).await.unwrap();
    store.release(&leases).await.unwrap();
    other.execute("ROLLBACK").await;
}
