//! `POST /v1/poll`: several modules in one request, each answered in its own place, and the wait for the first that has
//! news.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    on_each_database,
    support::{
        database::{DatabaseUnderTest, Kind},
        eventually,
        gateway::{Client, InProcess, Setup},
        native::{PATIENCE, cursor, events, poll, positions},
    },
};

const MODULES: &str = "[[modules]]\nname = \"commission\"\n[[modules]]\nname = \"orders\"\n\
    [[modules]]\nname = \"stateless\"\nstate = false\n";

on_each_database!(each_module_is_answered_in_its_place);

async fn start(database: &DatabaseUnderTest, keys: &[(&str, &str)]) -> InProcess {
    let setup = Setup::new(database, "a").modules(MODULES);
    let setup = keys
        .iter()
        .fold(setup, |setup, (key, value)| setup.set(key, value));
    InProcess::start(&setup).await
}

async fn ingest(client: &Client, module: &str, audience: &str, count: u64) {
    let change =
        |n| json!({"key": format!("k{n}"), "audience": audience, "value": "x".repeat(100)});
    let changes: Vec<_> = (0..count).map(change).collect();
    let answer = client
        .post(&format!("/v1/modules/{module}/changes"), &json!(changes))
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
}

/// The answer's `modules`.
async fn modules(client: &Client, body: &Value) -> Value {
    let answer = poll(client, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()["modules"].clone()
}

async fn until(client: &Client, module: &str, last: u64) {
    let body = json!({"cursors": {module: cursor(last - 1)}});
    eventually("the changes are there", PATIENCE, async || {
        let answer = modules(client, &body).await;
        (answer[module]["cursor"] == cursor(last)).then_some(())
    })
    .await;
}

fn found(module: &Value) -> Vec<u64> {
    positions(module["changes"].as_array().unwrap())
}

async fn each_module_is_answered_in_its_place(database: DatabaseUnderTest) {
    let gateway = start(
        &database,
        &[("tail.changes", "2"), ("native.page_changes", "9")],
    )
    .await;
    let client = &gateway.client;
    for module in ["commission", "orders", "stateless"] {
        ingest(client, module, "u1", 5).await;
    }
    until(client, "stateless", 5).await;
    until(client, "orders", 5).await;
    until(client, "commission", 5).await;

    let body = json!({"audience": "u1", "cursors": {
        "commission": null, "orders": cursor(4), "stateless": cursor(5), "nothing": null, "No": cursor(1),
    }});
    let answer = modules(client, &body).await;
    // Nine changes for three modules that there are.
    assert_eq!(found(&answer["commission"]), [1, 2, 3]);
    assert_eq!(answer["commission"]["cursor"], cursor(3));
    assert_eq!(answer["commission"]["has_more"], true);
    assert_eq!(
        (found(&answer["orders"]), &answer["orders"]["has_more"]),
        (vec![5], &json!(false))
    );
    assert_eq!(found(&answer["stateless"]), [] as [u64; 0]);
    assert_eq!(answer["stateless"]["cursor"], cursor(5));
    assert_eq!(answer["nothing"], json!({"error": "unknown"}));
    assert_eq!(answer["No"], json!({"error": "unknown"}));
    let text = poll(
        client,
        &json!({"audience": "u1", "cursors": {"orders": cursor(4)}}),
    )
    .await
    .text;
    let wanted = events(&database, "orders", &["u1"]).await;
    assert!(text.contains(&wanted[4]), "byte for byte: {text}");
    // Nobody's: only what is for everyone.
    let everyone = modules(client, &json!({"cursors": {"commission": null}})).await;
    assert_eq!(
        (
            found(&everyone["commission"]),
            &everyone["commission"]["cursor"]
        ),
        (vec![], &json!(cursor(5)))
    );

    database
        .execute("UPDATE module_head SET retained_from = 4")
        .await;
    database
        .execute("DELETE FROM change_log WHERE position < 4")
        .await;
    let body = json!({"audience": "u1", "wait_ms": 30000, "cursors": {
        "commission": cursor(1), "orders": "00000009_0000000000000001", "stateless": cursor(2),
    }});
    let answer = modules(client, &body).await;
    let snapshot = |module: &str| format!("/v1/modules/{module}/snapshot?audience=u1");
    for module in ["commission", "orders"] {
        assert_eq!(
            answer[module],
            json!({"error": "gone", "snapshot": snapshot(module)})
        );
    }
    assert_eq!(
        answer["stateless"],
        json!({"error": "gone", "snapshot": null})
    );
    let body = json!({"audience": "u1", "cursors": {"commission": null}});
    assert_eq!(found(&modules(client, &body).await["commission"]), [4, 5]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_for_the_first_that_has_news() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = start(&database, &[("native.max_wait_ms", "400")]).await;
    let client = &gateway.client;
    ingest(client, "orders", "u1", 1).await;
    until(client, "orders", 1).await;
    let cursors = json!({"commission": null, "orders": cursor(1), "nothing": null});
    let began = Instant::now();
    let idle = modules(
        client,
        &json!({"audience": "u1", "cursors": cursors, "wait_ms": 3_600_000}),
    )
    .await;
    // Bounded, and up to a fifth shorter.
    assert!(
        began.elapsed() >= Duration::from_millis(320),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        (found(&idle["orders"]), &idle["orders"]["has_more"]),
        (vec![], &json!(false))
    );
    gateway.stop().await;

    let gateway = start(&database, &[("native.max_wait_ms", "600000")]).await;
    let client = gateway.client.clone();
    let body = json!({"audience": "u1", "cursors": cursors, "wait_ms": 600_000});
    let waits = tokio::spawn({
        let client = client.clone();
        async move { modules(&client, &body).await }
    });
    ingest(&client, "orders", "u2", 1).await;
    ingest(&client, "orders", "u1", 1).await;
    let answer = waits.await.unwrap();
    assert_eq!(found(&answer["orders"]), [3]);
    assert_eq!(answer["orders"]["cursor"], cursor(3));
    gateway.stop().await;
}

#[tokio::test]
async fn a_bad_request_is_refused_whole() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let keys = [
        ("native.poll_modules", "2"),
        ("native.poll_body_bytes", "200"),
    ];
    let gateway = start(&database, &keys).await;
    let client = &gateway.client;
    let cases = [
        ("{}", "missing field `cursors`"),
        ("[]", "the body"),
        ("{\"cursors\":{}}", "from 1 to 2"),
        (
            "{\"cursors\":{\"a\":null,\"b\":null,\"c\":null}}",
            "from 1 to 2",
        ),
        ("{\"cursors\":{\"orders\":\"7\"}}", "cursors.orders"),
        ("{\"cursors\":{\"orders\":null},\"wait_ms\":-1}", "wait_ms"),
        ("{\"cursors\":{\"orders\":null},\"wait\":1}", "wait"),
        (
            "{\"cursors\":{\"orders\":null},\"audience\":\"\"}",
            "audience",
        ),
        ("{\"cursors\":{\"orders\":null}} x", "the body"),
        ("", "the body"),
    ];
    let url = format!("{}/v1/poll", client.public);
    for (body, why) in cases {
        let answer = client.send(client.http.post(&url).body(body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {answer:?}");
        assert!(
            answer.json()["detail"].as_str().unwrap().contains(why),
            "{body}: {answer:?}"
        );
    }
    let large = client
        .send(client.http.post(&url).body(" ".repeat(201)))
        .await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    let wrong = client.send(client.http.get(&url)).await;
    assert_eq!(
        (wrong.status, wrong.header("allow")),
        (StatusCode::METHOD_NOT_ALLOWED, "POST")
    );
    gateway.stop().await;
}
