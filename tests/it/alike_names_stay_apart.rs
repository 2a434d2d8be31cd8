//! `U1`, `u1`, `u1 ` and names that only look the same are different accounts, different keys and different change
//! ids, from the outbox to the answer, on each database. Where a collation makes two of them one, an account reads
//! another's changes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    database::DatabaseUnderTest,
    gateway::{Client, InProcess, Setup},
};

const SOON: Duration = Duration::from_secs(30);

const NAMES: [&str; 10] = [
    "u1",
    "U1",
    "u1 ",
    " u1",
    "u\u{e9}",
    "ue\u{301}",
    "ue",
    "u\u{df}",
    "uss",
    "u\u{ff11}",
];

crate::on_each_database!(from_ingest_to_every_answer, from_plain_sql_to_every_answer);

async fn from_ingest_to_every_answer(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let all: Vec<_> = NAMES
        .iter()
        .map(|name| json!({"audience": name, "key": name, "change_id": name, "value": name}))
        .collect();
    gateway.client.ingest(&json!(all)).await;
    apart_in_the_log_and_in_the_state(&database, gateway).await;
}

async fn from_plain_sql_to_every_answer(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    for name in NAMES {
        let row = format!(
            "INSERT INTO outbox (module, audience, entity_key, change_id, value) \
             VALUES ('commission', '{name}', '{name}', '{name}', '\"{name}\"')"
        );
        database.execute(&row).await;
    }
    apart_in_the_log_and_in_the_state(&database, gateway).await;
}

async fn apart_in_the_log_and_in_the_state(database: &DatabaseUnderTest, gateway: InProcess) {
    let client = &gateway.client;
    for name in NAMES {
        crate::support::eventually("its change", SOON, async || {
            (!list(client, name, 0).await.is_empty()).then_some(())
        })
        .await;
    }
    each_has_its_own(client).await;
    // Repeats are known by their own ids only.
    let again: Vec<_> = NAMES
        .iter()
        .map(|name| json!({"audience": name, "key": name, "change_id": name, "value": 0}))
        .collect();
    client.ingest(&json!(again)).await;
    client
        .ingest(&json!({"audience": "last", "key": "k", "change_id": "U1  ", "value": 1}))
        .await;
    crate::support::eventually("the last one", SOON, async || {
        (list(client, "last", 0).await.len() == 1).then_some(())
    })
    .await;
    each_has_its_own(client).await;

    // Without the tail: a replica that begins now reads from the database.
    gateway.stop().await;
    database
        .execute("UPDATE module_head SET retained_from = head + 1 WHERE module = 'commission'")
        .await;
    let gateway = InProcess::start(&Setup::new(database, "b")).await;
    each_has_its_own(&gateway.client).await;
    gateway.stop().await;
}

/// Of the log, or of the state if the log does not reach back.
async fn each_has_its_own(client: &Client) {
    for (place, name) in NAMES.iter().enumerate() {
        let items = list(client, name, 0).await;
        assert_eq!(items.len(), 1, "{name:?}: {items:?}");
        assert_eq!(items[0]["audience"], *name);
        assert_eq!(items[0]["key"], *name);
        assert_eq!(items[0]["body"], *name);
        assert_eq!(items[0]["seq"], place + 1);
    }
}

async fn list(client: &Client, audience: &str, since: u64) -> Vec<Value> {
    let uid: String = url::form_urlencoded::byte_serialize(audience.as_bytes()).collect();
    let answer = client.try_poll(&format!("uid={uid}&since={since}")).await;
    let answer = answer.unwrap().json();
    answer["list"].as_array().unwrap().clone()
}
