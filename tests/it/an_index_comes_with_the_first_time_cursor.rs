//! The index of the state by time costs every numbered change a page, so it is there only where a time cursor is configured.
//! Without it polls are answered alike.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{MODULE, Program, START, Setup},
};

crate::on_each_database!(
    and_answers_are_those_without_it,
    and_the_command_makes_it_too,
);

const NAME: &str = "entity_state_tick";
const MISSING: &str =
    "the index for time cursors is missing, reads of old times are slow: run `changeover migrate`";
const MADE: &str = "the index for time cursors is made";
const NOT_MADE: &str = "the index for time cursors could not be made, reads of old times are slow: run `changeover migrate`";

const BY_TIME: &str = r#"
[[modules]]
name = "commission"
[modules.poll]
path     = "/by-time"
cursor   = { in = "query", name = "since", kind = "timestamp-ms" }
audience = { in = "query", name = "uid" }
limit    = { default = 10, max = 10 }
[modules.poll.response]
body  = '{"list":"$changes","since":"$cursor","state":"$snapshot"}'
item  = '{"key":"$key","audience":"$audience","seq":"$position","at":"$sequenced_at_ms","value":"$value"}'
"#;

fn by_time(database: &DatabaseUnderTest) -> Setup {
    Setup::new(database, "a").modules(BY_TIME)
}

/// Everything from the beginning, page by page, of which the first comes from the state.
async fn pages(gateway: &Program) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut since = json!(0);
    loop {
        let url = format!("{}/by-time?since={since}&uid=u1", gateway.client.public);
        let answer = gateway.client.send(gateway.client.http.get(url)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        let list = body["list"].as_array().unwrap();
        if list.is_empty() {
            return pages;
        }
        assert!(body["state"] == true || !pages.is_empty(), "{body}");
        pages.push(list.clone());
        since = body["since"].clone();
    }
}

/// Their items once every tick is closed: a gateway that has just begun shows fewer, and may cut elsewhere.
async fn whole(database: &DatabaseUnderTest, gateway: &Program) -> Vec<Value> {
    let keys = "SELECT CAST(count(*) AS TEXT) FROM entity_state WHERE audience IN ('*', 'u1')";
    let keys = database.text(keys).await.unwrap();
    eventually("every tick is closed", START, async || {
        let pages = pages(gateway).await;
        let items = pages.concat();
        (items.len().to_string() == keys && pages.len() > 2).then_some(items)
    })
    .await
}

/// Writes in batches, some larger than a page, and leaves only the last change in the log.
async fn write(database: &DatabaseUnderTest, gateway: &Program) {
    let mut number = 0;
    for size in [3, 25, 1, 40, 12, 8, 2] {
        let changes: Vec<_> = (0..size)
            .map(|row| {
                number += 1;
                let audience = ["*", "u1", "u2"][row % 3];
                json!({"key": format!("k{}", number % 60), "audience": audience, "value": number})
            })
            .collect();
        gateway.client.ingest(&json!(changes)).await;
        eventually("they are numbered", START, async || {
            let waiting = "SELECT CAST(count(*) AS TEXT) FROM outbox";
            (database.text(waiting).await? == "0").then_some(())
        })
        .await;
    }
    for sql in [
        format!("UPDATE module_head SET retained_from = head WHERE module = '{MODULE}'"),
        format!("DELETE FROM change_log WHERE module = '{MODULE}' AND position < {number}"),
    ] {
        database.execute(&sql).await;
    }
}

async fn and_answers_are_those_without_it(database: DatabaseUnderTest) {
    let always = database.kind == Kind::MariaDb;
    let mut gateway = Program::start(&Setup::new(&database, "a")).await;
    assert_eq!(database.has_index(NAME).await, always);
    write(&database, &gateway).await;
    assert_eq!(gateway.terminate().await.0, 0);

    // A time cursor is configured, and nobody may make the index.
    let unchanging = by_time(&database).argument("--no-migrate");
    let mut gateway = Program::start(&unchanging).await;
    assert_eq!(gateway.said(MISSING).is_some(), !always);
    assert_eq!(database.has_index(NAME).await, always);
    let without = whole(&database, &gateway).await;
    assert_eq!(gateway.terminate().await.0, 0);

    let mut gateway = Program::start(&by_time(&database)).await;
    assert_eq!(gateway.said(MADE).is_some(), !always);
    assert!(database.has_index(NAME).await);
    assert_eq!(whole(&database, &gateway).await, without);
    assert_eq!(gateway.terminate().await.0, 0);

    gateway.restart().await;
    assert!(gateway.said(MADE).is_none(), "it was there");
    assert_eq!(gateway.terminate().await.0, 0);
    // Others may have a time cursor, so nobody drops it.
    let mut gateway = Program::start(&Setup::new(&database, "a")).await;
    assert!(database.has_index(NAME).await);
    assert_eq!(gateway.terminate().await.0, 0);
}

fn migrate(setup: &Setup) -> String {
    let file = setup.write();
    let output = Command::new(env!("CARGO_BIN_EXE_changeover"))
        .args(["migrate", "--config", file.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn and_the_command_makes_it_too(database: DatabaseUnderTest) {
    let always = database.kind == Kind::MariaDb;
    assert!(!migrate(&Setup::new(&database, "a")).contains(MADE));
    let stateless = BY_TIME.replacen("[modules.poll]", "state = false\n[modules.poll]", 1);
    migrate(&Setup::new(&database, "a").modules(&stateless));
    assert_eq!(database.has_index(NAME).await, always, "nothing to read");
    let shared = "\n[[endpoints]]\nmodules = [\"notices\"]\n[endpoints.poll]\npath = \"/shared\"\n\
        cursor = { in = \"query\", name = \"since\", kind = \"rfc3339\" }\n\
        [endpoints.poll.response]\nbody = '{\"list\":\"$changes\"}'\nitem = '\"$key\"'\n";
    let said = migrate(&Setup::new(&database, "a").add(shared));
    assert_eq!(said.contains(MADE), !always, "{said}");
    assert!(database.has_index(NAME).await);
    assert_eq!(migrate(&by_time(&database)), "the schema is current\n");
}

/// One who may write, but owns no table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_a_start_goes_on_without_it() {
    let Some(mut database) = DatabaseUnderTest::fresh(Kind::Postgres).await else {
        return;
    };
    database.store().await.close().await;
    let name = database.text("SELECT current_database()::text").await;
    let role = format!("writer_of_{}", name.unwrap());
    for sql in [
        format!("CREATE ROLE {role} LOGIN"),
        format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"),
        format!("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"),
    ] {
        database.execute(&sql).await;
    }
    let url = database
        .config
        .url
        .replace("changeover@", &format!("{role}@"));
    database.config.url = url;
    let mut gateway = Program::start(&by_time(&database)).await;
    let said = gateway
        .said(NOT_MADE)
        .unwrap_or_else(|| panic!("{}", gateway.log()));
    assert!(said.to_string().contains("must be owner"), "{said}");
    gateway
        .client
        .ingest(&json!({"key": "k", "audience": "*", "value": 1}))
        .await;
    eventually("the change is polled", START, async || {
        let url = format!("{}/by-time?since=1&uid=u1", gateway.client.public);
        let answer = gateway.client.send(gateway.client.http.get(url)).await;
        (answer.json()["list"].as_array()?.len() == 1).then_some(())
    })
    .await;
    assert!(!database.has_index(NAME).await);
    assert_eq!(gateway.terminate().await.0, 0);
}
