//! Heavy reads of one module stand in a line of their own: polls from memory go on beside them, so do
//! other modules' reads of the database, and what finds no place is told when to come back.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Answer, Client, Program, Setup},
    metrics::metric,
    within,
};

const SOON: Duration = Duration::from_secs(30);

const MODULES: &str = r#"
[[modules]]
name = "board"
[modules.poll]
path     = "/board"
cursor   = { kind = "none" }
audience = { in = "query", name = "uid" }
[modules.poll.response]
body  = '{"list":"$changes"}'
item  = '{"key":"$key"}'
error = '{"code":"$status","msg":"$message"}'
error_status = 200

[[modules]]
name = "orders"
state = false
[modules.poll]
path     = "/orders"
cursor   = { in = "query", name = "since", kind = "position" }
[modules.poll.response]
body  = '{"list":"$changes","since":"$cursor"}'
item  = '{"key":"$key"}'
"#;

async fn get(client: &Client, path: &str) -> Answer {
    let request = client.http.get(format!("{}{path}", client.public));
    within(path, SOON, client.send(request)).await
}

async fn in_flight(client: &Client) -> f64 {
    let board = [("module", "board")];
    metric(client, "changeover_admission_in_flight", &board).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_reads_delay_no_tail_poll_and_no_other_module() {
    let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await else {
        return;
    };
    let setup = Setup::new(&database, "heavy")
        .modules(MODULES)
        .set("tail.changes", 5)
        .set("database.connections", 6)
        .set("database.statement_timeout_ms", 120_000)
        .set("admission.database", 3)
        .set("admission.database_per_module", 2)
        .set("admission.queue_per_module", 4)
        .set("admission.wait_ms", 1_000);
    let gateway = Program::start(&setup).await;
    let client = &gateway.client;
    let changes: Vec<_> = (1..=20)
        .map(|n| json!({"key": n.to_string(), "value": n}))
        .collect();
    let stored = client
        .post("/v1/modules/orders/changes", &json!(changes))
        .await;
    assert_eq!(stored.status, StatusCode::ACCEPTED, "{stored:?}");
    eventually("they are in memory", SOON, async || {
        let page = get(client, "/orders?since=19").await.json();
        (page["since"] == 20).then_some(())
    })
    .await;

    // The states cannot be read for a while, as if each took that long.
    let mut lock = database.producer().await;
    lock.execute("BEGIN; LOCK TABLE entity_state IN ACCESS EXCLUSIVE MODE")
        .await;
    let mut first_loads = JoinSet::new();
    for number in 0..30 {
        let client = client.clone();
        first_loads.spawn(async move { get(&client, &format!("/board?uid=u{number}")).await });
    }
    eventually("board has its share", SOON, async || {
        (in_flight(client).await > 1.5).then_some(())
    })
    .await;
    // Two go on, and all others are refused, at once or after `wait_ms`.
    let mut refused = Vec::new();
    while refused.len() < 28 {
        let answer = within("28 are refused", SOON, first_loads.join_next()).await;
        refused.push(answer.unwrap().unwrap());
    }
    for answer in refused {
        assert_eq!(answer.status, StatusCode::OK, "error_status");
        let said = json!({"code": 503, "msg": "the answer cannot be given now, come back later"});
        assert_eq!(answer.json(), said);
        let seconds: u32 = answer.header("retry-after").parse().unwrap();
        assert!((6..=10).contains(&seconds), "{seconds}");
    }
    let labels = [("class", "database"), ("module", "board")];
    let counted = metric(client, "changeover_admission_refused_total", &labels).await;
    assert!((counted - 28.0).abs() < 0.5, "{counted}");
    assert!((in_flight(client).await - 2.0).abs() < 0.5, "its share");

    // Beside them: polls from memory, and the other module's reads of the database.
    for _ in 0..50 {
        let idle = get(client, "/orders?since=20").await;
        assert_eq!(idle.json(), json!({"list": [], "since": 20}));
        let heavy = get(client, "/orders?since=0").await;
        assert_eq!(heavy.status, StatusCode::OK, "{heavy:?}");
        assert_eq!(heavy.json()["list"].as_array().unwrap().len(), 20);
    }
    lock.execute("COMMIT").await;
    let loaded = within("the first loads end", SOON, first_loads.join_all()).await;
    assert_eq!(loaded.len(), 2);
    for answer in loaded {
        assert_eq!(answer.json(), json!({"list": []}));
    }
    eventually("all places are free", SOON, async || {
        (in_flight(client).await < 0.5).then_some(())
    })
    .await;
}

/// A cursor that nobody has given out makes the gateway ask the database: such polls need a place
/// too, and those without one are answered with nothing and their own cursor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_cursors_take_places_of_the_database() {
    let Some(database) = DatabaseUnderTest::fresh(Kind::Postgres).await else {
        return;
    };
    let setup = Setup::new(&database, "foreign")
        .modules(MODULES)
        .set("database.statement_timeout_ms", 120_000)
        .set("database.acquire_timeout_ms", 60_000)
        .set("admission.database", 1)
        .set("admission.queue_per_module", 0);
    let gateway = Program::start(&setup).await;
    let client = &gateway.client;
    let mut lock = database.producer().await;
    lock.execute("BEGIN; LOCK TABLE module_head IN ACCESS EXCLUSIVE MODE")
        .await;
    let asking = tokio::spawn({
        let client = client.clone();
        async move { get(&client, "/orders?since=1000").await }
    });
    eventually("it asks", SOON, async || {
        let orders = [("module", "orders")];
        let asking = metric(client, "changeover_admission_in_flight", &orders).await;
        (asking > 0.5).then_some(())
    })
    .await;
    let other = get(client, "/orders?since=2000").await;
    assert_eq!(other.json(), json!({"list": [], "since": 2_000}));
    lock.execute("ROLLBACK").await;
    let told = within("it is told", SOON, asking).await.unwrap();
    assert_eq!(told.status, StatusCode::GONE, "{told:?}");
}
