//! A producer that does not know whether its change arrived sends it again. The same change id is stored
//! once, and leaves no hole.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    database::DatabaseUnderTest,
    gateway::{InProcess, MODULE, Setup, assert_dense, keys},
};

const SOON: Duration = Duration::from_secs(30);

crate::on_each_database!(
    inside_one_request_and_over_many,
    over_sql_and_after_a_restart,
    ids_belong_to_one_module_and_none_is_no_id,
);

fn change(id: &str, key: &str) -> Value {
    json!({"change_id": id, "key": key, "value": {"id": id}})
}

fn sql(module: &str, id: &str, key: &str) -> String {
    format!(
        "INSERT INTO outbox (module, entity_key, value, change_id) VALUES ('{module}', '{key}', '1', '{id}')"
    )
}

async fn inside_one_request_and_over_many(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    let twice = json!([
        change("1", "a"),
        change("2", "b"),
        change("1", "other"),
        change("3", "c")
    ]);
    client.ingest(&twice).await;
    client.ingest(&twice).await;
    client.items(0, 3, SOON).await;
    client.ingest(&change("2", "late")).await;
    client.ingest(&change("4", "d")).await;
    let all = client.items(0, 4, SOON).await;
    assert_eq!(
        keys(&all),
        ["a", "b", "c", "d"],
        "the first of each id counts"
    );
    assert_dense(&all);

    // Batches of one: the repeat is always in a later batch than the change.
    gateway.stop().await;
    let setup = Setup::new(&database, "a").set("sequencer.batch", 1);
    let gateway = InProcess::start(&setup).await;
    let many: Vec<_> = (0..20)
        .map(|n| change(&format!("m{}", n % 10), &format!("{n}")))
        .collect();
    gateway.client.ingest(&json!(many)).await;
    gateway.client.ingest(&change("end", "end")).await;
    let all = gateway.client.items(0, 15, SOON).await;
    assert_eq!(all.len(), 15);
    assert_eq!(all[14]["key"], "end");
    assert_dense(&all);
    gateway.stop().await;
}

async fn over_sql_and_after_a_restart(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    gateway
        .client
        .ingest(&json!([change("1", "a"), change("2", "b")]))
        .await;
    database.execute(&sql(MODULE, "1", "again")).await;
    database.execute(&sql(MODULE, "sql", "c")).await;
    gateway.client.items(0, 3, SOON).await;
    gateway.stop().await;

    // While nobody numbers.
    database.execute(&sql(MODULE, "sql", "again")).await;
    let gateway = InProcess::start(&Setup::new(&database, "b")).await;
    gateway
        .client
        .ingest(&json!([change("sql", "again"), change("2", "again")]))
        .await;
    gateway.client.ingest(&change("new", "d")).await;
    let all = gateway.client.items(0, 4, SOON).await;
    assert_eq!(keys(&all), ["a", "b", "c", "d"]);
    assert_dense(&all);
    let outbox = database
        .text("SELECT CAST(count(*) AS TEXT) FROM outbox")
        .await;
    assert_eq!(outbox.as_deref(), Some("0"), "repeats do not stay behind");
    gateway.stop().await;
}

async fn ids_belong_to_one_module_and_none_is_no_id(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    database.execute(&sql("notices", "1", "theirs")).await;
    gateway.client.ingest(&change("1", "ours")).await;
    let nameless = json!({"key": "k", "value": 1});
    gateway
        .client
        .ingest(&json!([nameless, nameless, nameless]))
        .await;
    let all = gateway.client.items(0, 4, SOON).await;
    assert_eq!(keys(&all), ["ours", "k", "k", "k"]);
    assert_dense(&all);
    let theirs = "SELECT CAST(count(*) AS TEXT) FROM change_log WHERE module = 'notices'";
    assert_eq!(database.text(theirs).await.as_deref(), Some("1"));
    gateway.stop().await;
}
