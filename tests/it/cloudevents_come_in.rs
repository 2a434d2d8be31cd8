//! Ingest takes `CloudEvents` in each of their three modes, and what it refuses it names.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    database::DatabaseUnderTest,
    gateway::{Answer, Client, InProcess, MODULE, Setup, assert_dense, keys},
};

const SOON: Duration = Duration::from_secs(30);
const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

crate::on_each_database!(
    one_event_in_each_mode_becomes_one_change,
    an_event_that_is_sent_again_is_stored_once,
    what_is_wrong_with_an_event_is_named,
);

/// Names and values.
type Headers = &'static [(&'static str, &'static str)];

async fn send(client: &Client, headers: &[(&str, &str)], body: &str) -> Answer {
    let url = format!("{}/v1/modules/{MODULE}/changes", client.private);
    let mut request = client.http.post(url).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.send(request).await
}

async fn structured(client: &Client, event: &Value) -> Answer {
    send(client, &[("Content-Type", STRUCTURED)], &event.to_string()).await
}

fn event(id: &str) -> Value {
    json!({
        "specversion": "1.0",
        "id": id,
        "source": "/orders/eu",
        "type": "com.example.order.updated",
        "subject": format!("order-{id}"),
        "time": "2026-01-02T03:04:05.678+01:00",
        "datacontenttype": "application/json",
        "audience": "u1",
        "traceparent": "an extension that nobody here knows",
        "data": {"state": "open"},
    })
}

#[track_caller]
fn assert_accepted(answer: &Answer, count: usize) {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    assert_eq!(answer.json(), json!({"accepted": count}));
}

#[track_caller]
fn assert_refused(answer: &Answer, says: &str) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    let problem = answer.json();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(says), "{detail} should say {says}");
}

async fn one_event_in_each_mode_becomes_one_change(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;

    let text = r#"{"specversion":"1.0","id":"1","source":"/orders/eu","type":"upsert","subject":"exact","data":{"price":1.10}}"#;
    let media = [(
        "Content-Type",
        "application/cloudevents+json; charset=utf-8",
    )];
    assert_accepted(&send(client, &media, text).await, 1);

    let deleted = json!({
        "specversion": "1.0", "id": "3", "source": "/orders/eu",
        "type": "com.example.order.deleted", "subject": "order-2",
    });
    let batch = json!([event("2"), deleted]).to_string();
    assert_accepted(&send(client, &[("Content-Type", BATCH)], &batch).await, 2);
    assert_accepted(&send(client, &[("Content-Type", BATCH)], "[]").await, 0);

    let binary = [
        ("Content-Type", "application/vnd.example+json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "4"),
        ("ce-source", "/orders/eu"),
        ("ce-type", "com.example.order.created"),
        ("ce-subject", "caf%C3%A9"),
        ("ce-audience", "u2"),
    ];
    assert_accepted(&send(client, &binary, "12345678901234567890").await, 1);
    let no_body = [
        ("ce-specversion", "1.0"),
        ("ce-id", "5"),
        ("ce-source", "/orders/eu"),
        ("ce-type", "com.example.order.removed"),
        ("ce-subject", "caf%C3%A9"),
    ];
    assert_accepted(&send(client, &no_body, "").await, 1);

    let all = client.items(0, 3, SOON).await;
    assert_eq!(keys(&all), ["exact", "order-2", "café"]);
    assert_eq!([&all[1]["op"], &all[2]["op"]], ["delete", "delete"]);
    let mine = client.try_poll("since=0&uid=u1").await.unwrap();
    assert!(mine.text.contains(r#""body":{"price":1.10}"#), "{mine:?}");
    let mine = mine.json();
    let order = &mine["list"][1];
    assert_eq!(
        [
            &order["key"],
            &order["op"],
            &order["audience"],
            &order["id"]
        ],
        ["order-2", "upsert", "u1", "/orders/eu 2"]
    );
    assert_eq!(order["body"], json!({"state": "open"}));
    let occurred = "SELECT CAST(occurred_at AS CHAR(20)) FROM change_log WHERE position = 2";
    assert_eq!(
        database.text(occurred).await.unwrap().trim(),
        "1767319445678000",
        "02:04:05.678 UTC"
    );

    let theirs = client.try_poll("since=0&uid=u2").await.unwrap();
    assert!(theirs.text.contains("12345678901234567890"), "{theirs:?}");
    gateway.stop().await;
}

async fn an_event_that_is_sent_again_is_stored_once(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    let mut long = event("a");
    long["source"] = json!(format!("/{}", "s".repeat(300)));
    let mut other = event("a");
    other["source"] = json!("/orders/us");
    for _ in 0..3 {
        assert_accepted(&structured(client, &event("a")).await, 1);
        assert_accepted(&structured(client, &long).await, 1);
        assert_accepted(&structured(client, &other).await, 1);
    }
    let mut last = event("b");
    last["audience"] = json!("*");
    assert_accepted(&structured(client, &last).await, 1);
    let seen = client.items(0, 1, SOON).await;
    assert_eq!(seen[0]["seq"], 4, "three events before it, each once");
    let mine = client.try_poll("since=0&uid=u1").await.unwrap().json();
    let mine = mine["list"].as_array().unwrap();
    assert_eq!(mine.len(), 4);
    assert_dense(mine);
    gateway.stop().await;
}

async fn what_is_wrong_with_an_event_is_named(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    let with = |name: &str, value: Value| {
        let mut event = event("1");
        event[name] = value;
        event
    };
    let without = |name: &str| {
        let mut event = event("1");
        event.as_object_mut().unwrap().remove(name);
        event
    };
    let wrong = [
        (without("specversion"), "specversion"),
        (with("specversion", json!("0.3")), "specversion"),
        (without("id"), "id"),
        (with("id", json!("")), "id"),
        (without("source"), "source"),
        (with("source", json!("two words")), "source"),
        (without("type"), "type"),
        (with("type", json!("com.example.order.paid")), "order.paid"),
        (without("subject"), "subject"),
        (with("subject", json!("")), "key"),
        (without("data"), "value"),
        (with("data_base64", json!("e30=")), "data_base64"),
        (with("time", json!("yesterday")), "time"),
        (with("audience", json!("a\u{7}b")), "audience"),
        (with("datacontenttype", json!("text/xml")), "text/xml"),
        (json!(7), "7"),
    ];
    for (event_with_fault, says) in &wrong {
        let alone = structured(client, event_with_fault).await;
        assert_refused(&alone, "item 0");
        assert_refused(&alone, says);
        let batch = json!([event("good"), event_with_fault]).to_string();
        let batch = send(client, &[("Content-Type", BATCH)], &batch).await;
        assert_refused(&batch, "item 1");
        assert_refused(&batch, says);
    }
    assert_refused(
        &send(client, &[("Content-Type", BATCH)], "{}").await,
        "array",
    );

    let id = ("ce-id", "1");
    let binary = [
        ("ce-specversion", "1.0"),
        id,
        ("ce-source", "/s"),
        ("ce-type", "upsert"),
    ];
    let cases: [(Headers, &str, &str); 5] = [
        (&[("ce-specversion", "1.0")], "1", "ce-id: is missing"),
        (
            &[("ce-subject", "%FF"), ("Content-Type", "application/json")],
            "1",
            "ce-subject",
        ),
        (
            &[("ce-subject", "k"), ("Content-Type", "application/json")],
            "{",
            "data",
        ),
        (
            &[("ce-subject", "k"), ("Content-Type", "text/plain")],
            "x",
            "data",
        ),
        (
            &[("ce-subject", "k"), ("Content-Type", "text/plain")],
            "1",
            "text/plain",
        ),
    ];
    for (index, (headers, body, says)) in cases.iter().enumerate() {
        let all = [if index == 0 { &[][..] } else { &binary[..] }, headers].concat();
        assert_refused(&send(client, &all, body).await, says);
    }
    client.ingest(&json!({"key": "only", "value": 1})).await;
    let all = client.items(0, 1, SOON).await;
    assert_eq!(
        (keys(&all), &all[0]["seq"]),
        (vec!["only".to_owned()], &json!(1))
    );
    gateway.stop().await;
}
