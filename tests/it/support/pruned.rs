//! A module whose log is pruned, and looks at what is left of it.

use serde_json::{Value, json};

use super::{
    database::DatabaseUnderTest,
    eventually,
    gateway::{Client, MODULE, START, Setup},
};

/// A gateway that serves `commission` with `kept` in its table, looks often and takes small steps. Its
/// tail is short, so that polls need the database.
pub fn setup(database: &DatabaseUnderTest, instance: &str, kept: &str) -> Setup {
    Setup::new(database, instance)
        .modules(&modules(kept))
        .set("retention.tick_ms", 20)
        .set("retention.pause_ms", 1)
        .set("retention.batch", 10)
        .set("tail.changes", 5)
}

fn modules(kept: &str) -> String {
    format!(
        r#"
[[modules]]
name = "commission"
{kept}
[modules.poll]
path     = "/api/commission/list"
cursor   = {{ in = "query", name = "since", kind = "position" }}
audience = {{ in = "query", name = "uid" }}
limit    = {{ in = "query", name = "size", default = 1000, max = 20000 }}
[modules.poll.response]
body  = '{{"list":"$changes","since":"$cursor","more":"$has_more","snapshot":"$snapshot"}}'
item  = '{{"key":"$key","op":"$op","seq":"$position","previous":"$previous"}}'
"#
    )
}

/// A page with what tests of pruning ask it for.
#[derive(Debug)]
pub struct Page {
    pub positions: Vec<u64>,
    pub cursor: u64,
    pub more: bool,
    pub snapshot: bool,
    pub items: Vec<Value>,
}

/// Polls, and must be answered.
pub async fn poll(client: &Client, query: &str) -> Page {
    let answer = client.try_poll(query).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let items = body["list"].as_array().unwrap().clone();
    Page {
        positions: items
            .iter()
            .map(|item| item["seq"].as_u64().unwrap())
            .collect(),
        cursor: body["since"].as_u64().unwrap(),
        more: body["more"].as_bool().unwrap(),
        snapshot: body["snapshot"].as_bool().unwrap(),
        items,
    }
}

/// Hands over `count` changes of keys `{prefix}0`, `{prefix}1` and so on.
pub async fn ingest(client: &Client, prefix: &str, count: u64) {
    let changes: Vec<_> = (0..count)
        .map(|n| json!({"key": format!("{prefix}{n}"), "value": n}))
        .collect();
    client.ingest(&Value::from(changes)).await;
}

/// Waits until the log has numbered this position.
pub async fn numbered(database: &DatabaseUnderTest, position: u64) {
    let sql = format!("SELECT CAST(head AS CHAR(20)) FROM module_head WHERE module = '{MODULE}'");
    wait(database, &sql, position, &format!("position {position}")).await;
}

/// The positions of the log's rows.
pub async fn positions(database: &DatabaseUnderTest) -> Vec<u64> {
    let store = database.open().await;
    let from = [(MODULE.parse().unwrap(), changeover::domain::Position::ZERO)];
    let purpose = changeover::telemetry::Purpose::Tail;
    let rows = store.rows_after(&from, 1_000_000, purpose).await.unwrap();
    store.close().await;
    rows.iter().map(|(_, row)| row.position.get()).collect()
}

/// Waits until the log holds exactly these positions.
pub async fn holds(database: &DatabaseUnderTest, wanted: &[u64]) {
    let what = format!("a log of {wanted:?}");
    let mut last = Vec::new();
    let looked = tokio::time::timeout(
        START,
        eventually(&what, START * 2, async || {
            last = positions(database).await;
            (last == wanted).then_some(())
        }),
    );
    assert!(looked.await.is_ok(), "{what}, but {last:?}");
}

/// What `module_head` promises of `commission`.
pub async fn retained_from(database: &DatabaseUnderTest) -> u64 {
    let sql = format!(
        "SELECT CAST(retained_from AS CHAR(20)) FROM module_head WHERE module = '{MODULE}'"
    );
    number(database, &sql).await
}

/// A number, which must be there.
pub async fn number(database: &DatabaseUnderTest, sql: &str) -> u64 {
    database.text(sql).await.unwrap().trim().parse().unwrap()
}

/// Waits until a statement says this number.
pub async fn wait(database: &DatabaseUnderTest, sql: &str, wanted: u64, what: &str) {
    eventually(what, START, async || {
        let found = database.text(sql).await?;
        (found.trim().parse() == Ok(wanted)).then_some(())
    })
    .await;
}

/// Asks for a pass over `commission`.
pub async fn compact(client: &Client, dry_run: bool) -> Value {
    let path = format!("/admin/v1/modules/{MODULE}/compact?dry_run={dry_run}");
    let answer = client.post(&path, &json!({"reason": "a test"})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}
