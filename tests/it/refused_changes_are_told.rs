//! Changes cannot be stored while everything else can: producers are refused, and `readyz` says so, too, although numbering goes on.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Client, InProcess, Setup},
};

const SOON: Duration = Duration::from_mins(1);

/// Lets inserts into the outbox fail as they do on a full disk.
const POSTGRES: [&str; 2] = [
    "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS \
        $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$",
    "CREATE TRIGGER no_room BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION no_room()",
];
const MARIADB: [&str; 1] = [
    "CREATE TRIGGER no_room BEFORE INSERT ON outbox FOR EACH ROW \
    SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1021, MESSAGE_TEXT = 'no room'",
];

async fn refused(client: &Client) {
    let answer = client.try_ingest(&json!({"key":"a","value":1})).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

async fn is_degraded(client: &Client) -> bool {
    let (status, ready) = client.ready().await.unwrap();
    assert_eq!(status, StatusCode::OK, "polls go on");
    ready["degraded"] == true
}

async fn tell(kind: Kind, fill: &[&str], make_room: &str) {
    let Some(database) = DatabaseUnderTest::fresh(kind).await else {
        return;
    };
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    client.ingest(&json!({"key":"a","value":1})).await;
    client.items(0, 1, SOON).await;
    assert!(!is_degraded(client).await);
    for statement in fill {
        database.execute(statement).await;
    }

    refused(client).await;
    assert!(is_degraded(client).await, "from the first refusal on");
    eventually("nobody asks any more", SOON, async || {
        (!is_degraded(client).await).then_some(())
    })
    .await;

    refused(client).await;
    assert!(is_degraded(client).await);
    database.execute(make_room).await;
    client.ingest(&json!({"key":"a","value":2})).await;
    assert!(!is_degraded(client).await, "from what is stored on");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql() {
    tell(Kind::Postgres, &POSTGRES, "DROP TRIGGER no_room ON outbox").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mariadb() {
    tell(Kind::MariaDb, &MARIADB, "DROP TRIGGER no_room").await;
}
