//! An older copy of the database is put in place under a running gateway, with a row in its outbox that is numbered long since. It is
//! numbered again, before what is written afterwards.

use std::time::Duration;

use crate::support::{
    backup::Backup,
    database::DatabaseUnderTest,
    eventually,
    gateway::{InProcess, MODULE, Setup, insert},
};

const SOON: Duration = Duration::from_mins(1);

crate::on_each_database!(with_what_was_waiting_in_the_copy);

async fn with_what_was_waiting_in_the_copy(database: DatabaseUnderTest) {
    drop(database.store().await);
    database.execute(&insert("k", "1")).await;
    let backup = Backup::take(&database).await;
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    // Far enough for looks to begin behind the row.
    for n in 0..30 {
        database.execute(&insert(&format!("other-{n}"), "0")).await;
        gateway.client.items(0, n + 2, SOON).await;
    }
    backup.restore(&database).await;
    database.execute(&insert("k", "2")).await;
    let of_key = format!(
        "SELECT value FROM change_log WHERE module = '{MODULE}' AND epoch = 2 AND entity_key = 'k' \
         ORDER BY position"
    );
    let both = format!(
        "SELECT value FROM change_log WHERE module = '{MODULE}' AND epoch = 2 AND entity_key = 'k' \
         AND value = '1'"
    );
    eventually("the copy's own row is numbered", SOON, async || {
        database.text(&both).await
    })
    .await;
    let first = database.text(&of_key).await;
    assert_eq!(first.as_deref(), Some("1"), "before the later one");
    let state =
        format!("SELECT value FROM entity_state WHERE module = '{MODULE}' AND entity_key = 'k'");
    eventually("the later one is what the state holds", SOON, async || {
        (database.text(&state).await.as_deref() == Some("2")).then_some(())
    })
    .await;
    gateway.stop().await;
}
