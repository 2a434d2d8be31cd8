//! A MariaDB that is configured against us: our sessions say themselves what they need, and the outbox keeps the time
//! of producers whatever their clocks are set to.

use std::time::SystemTime;

use changeover::domain::Micros;

use super::{
    changes::{module, waiting},
    numbering::keeps_every_byte,
};
use crate::support::database::DatabaseUnderTest;

const AGAINST_US: &[&str] = &[
    "--autocommit=0",
    "--transaction-isolation=SERIALIZABLE",
    "--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES,ORACLE",
    "--character-set-server=latin1",
    "--default-time-zone=+05:30",
    "--in-predicate-conversion-threshold=2",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mean_nothing_to_our_sessions() {
    let Some(database) = DatabaseUnderTest::private_mariadb(AGAINST_US).await else {
        return;
    };
    let store = database.store().await;
    let mut producer = database.producer().await;
    let row = "INSERT INTO outbox (module, entity_key, value) VALUES ('sql', 'k', '1')";
    producer.execute(row).await;
    producer.execute("COMMIT").await;
    let rows = waiting(&store, &[module("sql")]).await;
    let tx = store.begin_numbering(&[]).await.unwrap();
    let now = Micros::from(SystemTime::now()).get();
    for (what, time) in [
        ("the default", rows[0].occurred_at.unwrap()),
        ("the clock", tx.now().get()),
    ] {
        let age = now - time;
        assert!((-1_000_000..60_000_000).contains(&age), "{what}: {age}");
    }
    drop(tx);
    producer.execute("DELETE FROM outbox").await;
    producer.execute("COMMIT").await;
    keeps_every_byte(database).await;
}
