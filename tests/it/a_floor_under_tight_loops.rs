//! A client that polls in a tight loop gets its own empty answer again; nobody else does, news come
//! at most `floor_ms` late, and a flip comes through at once.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Answer, Program, Setup},
    metrics::metric,
};

const SOON: Duration = Duration::from_secs(30);

const MODULES: &str = r#"
[[modules]]
name = "news"
[modules.poll]
path     = "/news"
cursor   = { in = "query", name = "since", kind = "position" }
audience = { in = "query", name = "uid" }
client   = { in = "header", name = "X-Terminal" }
wait     = { in = "query", name = "wait_ms" }
floor_ms = 3000
[modules.poll.response]
body  = '{"list":"$changes","since":"$cursor","transport":"$transport"}'
item  = '{"key":"$key"}'
"#;

async fn poll(gateway: &Program, query: &str, terminal: &str) -> Answer {
    let url = format!("{}/news?{query}", gateway.client.public);
    let request = gateway.client.http.get(url).header("X-Terminal", terminal);
    gateway.client.send(request).await
}

async fn answered(gateway: &Program, how: &str) -> f64 {
    let labels = [("module", "news"), ("answer", how)];
    metric(&gateway.client, "changeover_polls_total", &labels).await
}

async fn ingest(gateway: &Program, key: &str) {
    let change = json!({"audience": "u1", "key": key, "value": 1});
    let answer = gateway
        .client
        .post("/v1/modules/news/changes", &change)
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tight_loop_gets_its_empty_answer_again() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = Program::start(&Setup::new(&database, "floor").modules(MODULES)).await;
    let began = Instant::now();
    let empty = poll(&gateway, "uid=u1&since=0", "t1").await;
    for _ in 0..200 {
        let again = poll(&gateway, "uid=u1&since=0", "t1").await;
        assert_eq!(again.text, empty.text);
    }
    // One more for each floor that has passed meanwhile.
    let (idle, limited) = (
        answered(&gateway, "idle").await,
        answered(&gateway, "limited").await,
    );
    let floors = began.elapsed().as_secs_f64() / 3.0 + 2.0;
    assert!((idle + limited - 201.0).abs() < 0.5, "{idle} {limited}");
    assert!(
        idle <= floors,
        "{idle} were looked up in {:?}",
        began.elapsed()
    );

    // What differs in anything that the contract reads is looked up.
    ingest(&gateway, "first").await;
    for (query, terminal) in [
        ("uid=u1&since=0", "t2"),
        ("uid=u1&since=0&wait_ms=20000", "t1"),
    ] {
        eventually("the news", SOON, async || {
            let news = poll(&gateway, query, terminal).await.json();
            (news["list"] == json!([{"key": "first"}])).then_some(())
        })
        .await;
    }
    // The client in the loop hears it too, once the floor has passed; its cursor never goes back.
    eventually("the news", SOON, async || {
        let news = poll(&gateway, "uid=u1&since=0", "t1").await.json();
        (news["list"] == json!([{"key": "first"}])).then_some(())
    })
    .await;
    // An answer with news is never given again.
    let before = answered(&gateway, "limited").await;
    for _ in 0..3 {
        let news = poll(&gateway, "uid=u1&since=0", "t1").await.json();
        assert_eq!(news["since"], 1);
    }
    assert!((answered(&gateway, "limited").await - before).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flip_comes_through_the_floor() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let modules = MODULES.replace("3000", "60000");
    let gateway = Program::start(&Setup::new(&database, "floor").modules(&modules)).await;
    for _ in 0..2 {
        let answer = poll(&gateway, "uid=u1&since=0", "t1").await;
        assert_eq!(answer.json()["transport"], "poll");
    }
    let ramp = json!({"reason": "test", "percent": 100});
    let act = gateway
        .client
        .post("/admin/v1/modules/news/ramp", &ramp)
        .await;
    assert_eq!(act.status, StatusCode::OK, "{act:?}");
    let answer = poll(&gateway, "uid=u1&since=0", "t1").await;
    assert_eq!(answer.json()["transport"], "push");
    assert_eq!(answer.header("changeover-stage"), "ramp");
}
