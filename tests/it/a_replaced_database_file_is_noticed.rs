//! The file of a SQLite database is removed, or an older copy is put into it, under the running
//! gateway: what would be lost is refused, and somebody is told.

use std::{fs, time::Duration};

use http::StatusCode;
use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Client, InProcess, MODULE, Setup},
};

const SOON: Duration = Duration::from_secs(30);

fn file(database: &DatabaseUnderTest) -> String {
    let path = database.config.url.strip_prefix("sqlite://").unwrap();
    path.split('?').next().unwrap().to_owned()
}

async fn degraded(client: &Client) {
    eventually("readyz says degraded", SOON, async || {
        let (status, ready) = client.ready().await?;
        (status == StatusCode::OK && ready["degraded"] == true).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_it_takes_no_more_changes() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    client.ingest(&json!({"key":"a","value":1})).await;
    client.items(0, 1, SOON).await;
    for ending in ["", "-wal", "-shm"] {
        fs::remove_file(file(&database) + ending).unwrap();
    }
    let answer = client
        .try_ingest(&json!({"key":"b","value":1}))
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    degraded(client).await;
    assert_eq!(client.page(0, 10).await.items.len(), 1, "polls go on");
    gateway.stop().await;
}

/// Giving positions a second time would let clients keep what is no longer true.
#[tokio::test(flavor = "multi_thread")]
async fn restored_to_an_older_copy_it_is_numbered_on_in_a_new_epoch() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    let three = json!([{"key":"a","value":1},{"key":"b","value":1},{"key":"c","value":1}]);
    client.ingest(&three).await;
    client.items(0, 3, SOON).await;
    // What restoring a copy of the time of the first change does to the log.
    let restore = format!(
        "BEGIN IMMEDIATE; \
         DELETE FROM change_log WHERE module = '{MODULE}' AND position > 1; \
         DELETE FROM entity_state WHERE module = '{MODULE}' AND position > 1; \
         UPDATE module_head SET head = 1 WHERE module = '{MODULE}'; COMMIT"
    );
    database.execute(&restore).await;
    client.ingest(&json!({"key":"d","value":1})).await;
    let row = "SELECT CAST(epoch AS TEXT) || '/' || CAST(position AS TEXT) FROM change_log \
               WHERE module = 'commission' AND entity_key = 'd'";
    let at = eventually("it is numbered", SOON, async || database.text(row).await).await;
    assert_eq!(at, "2/1000001");
    let items = client.items(3, 2, SOON).await;
    let keys = crate::support::gateway::keys(&items);
    assert_eq!(keys, ["a", "d"], "one who had it all gets all that is left");
    gateway.stop().await;
}
