//! Ingest takes a request whole or not at all, names what is wrong and where, and never answers 500.

use std::time::Duration;

use http::StatusCode;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Answer, Client, InProcess, MODULE, Setup, assert_dense, keys},
};

const SOON: Duration = Duration::from_secs(30);

crate::on_each_database!(
    one_an_array_or_lines,
    one_bad_item_refuses_all_and_is_named,
    what_is_not_for_it_is_refused_by_its_status,
    a_full_queue_says_come_back,
    a_thousand_bodies_and_never_a_500,
);

async fn send(client: &Client, media: &str, body: impl Into<reqwest::Body>) -> Answer {
    let url = format!("{}/v1/modules/{MODULE}/changes", client.private);
    let request = client.http.post(url).header("Content-Type", media);
    client.send(request.body(body)).await
}

async fn json(client: &Client, body: &str) -> Answer {
    send(client, "application/json", body.to_owned()).await
}

#[track_caller]
fn assert_accepted(answer: &Answer, count: usize) {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    assert_eq!(answer.json(), json!({"accepted": count}));
}

#[track_caller]
fn assert_problem(answer: &Answer, status: StatusCode, says: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["status"], status.as_u16());
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(says), "{detail}");
}

async fn one_an_array_or_lines(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    assert_accepted(
        &json(client, r#"{"key":"one","value":{"a":1.10}}"#).await,
        1,
    );
    let array =
        r#"[{"key":"null","value":null},{"key":"gone","op":"delete"},{"key":"exp","value":1e3}]"#;
    assert_accepted(&json(client, array).await, 3);
    let lines =
        "{\"key\":\"l1\",\"value\":[]}\n\n{\"key\":\"l2\",\"value\":12345678901234567890}\r\n";
    assert_accepted(&send(client, "application/x-ndjson", lines).await, 2);
    assert_accepted(
        &send(client, "Application/JSON; charset=utf-8", "[]").await,
        0,
    );
    let full = r#"{"key":"full","value":"v","audience":"*","op":"upsert","change_id":"c-1","occurred_at_ms":1700000000000}"#;
    assert_accepted(&json(client, full).await, 1);

    let all = client.items(0, 7, SOON).await;
    assert_eq!(
        keys(&all),
        ["one", "null", "gone", "exp", "l1", "l2", "full"]
    );
    assert_dense(&all);
    assert_eq!(
        (&all[1]["body"], &all[1]["op"]),
        (&Value::Null, &json!("upsert"))
    );
    assert_eq!(all[2]["op"], "delete");
    let raw = client.try_poll("since=0").await.unwrap().text;
    for kept in [
        r#""body":{"a":1.10}"#,
        r#""body":1e3"#,
        r#""body":12345678901234567890"#,
    ] {
        assert!(raw.contains(kept), "{kept} in {raw}");
    }
    gateway.stop().await;
}

async fn one_bad_item_refuses_all_and_is_named(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    let good = r#"{"key":"good","value":1}"#;
    let large = format!(r#"{{"key":"k","value":"{}"}}"#, "x".repeat(256 * 1024));
    let key = format!(r#"{{"key":"{}","value":1}}"#, "k".repeat(513));
    let bad = [
        (r#"{"key":"k","value":1,"op":"replace"}"#, "op"),
        (r#"{"key":"k"}"#, "value"),
        (r#"{"value":1}"#, "key"),
        (r#"{"key":7,"value":1}"#, "string"),
        (r#"{"key":"","value":1}"#, "key"),
        (r#"{"key":"a\u0007","value":1}"#, "key"),
        (r#"{"key":"k","value":1,"audience":""}"#, "audience"),
        (r#"{"key":"k","value":1,"change_id":""}"#, "change_id"),
        (
            r#"{"key":"k","value":1,"occurred_at_ms":9223372036854775807}"#,
            "occurred_at_ms",
        ),
        (r#"{"key":"k","value":1,"vlaue":2}"#, "vlaue"),
        (large.as_str(), "value"),
        (key.as_str(), "key"),
        ("7", "7"),
    ];
    for (item, says) in bad {
        let alone = json(client, item).await;
        assert_problem(&alone, StatusCode::BAD_REQUEST, "item 0");
        let array = json(client, &format!("[{good},{good},{item},{good}]")).await;
        assert_problem(&array, StatusCode::BAD_REQUEST, "item 2");
        assert_problem(&array, StatusCode::BAD_REQUEST, says);
        let lines = format!("{good}\n{item}\n{good}\n");
        let lines = send(client, "application/x-ndjson", lines).await;
        assert_problem(&lines, StatusCode::BAD_REQUEST, "item 1");
    }
    for nonsense in ["", "[", "[{]", "{\"key\":", "[1,", "\u{feff}{}", "{} {}"] {
        assert_problem(&json(client, nonsense).await, StatusCode::BAD_REQUEST, "");
    }
    let bytes = send(
        client,
        "application/json",
        &b"{\"key\":\"\xff\",\"value\":1}"[..],
    )
    .await;
    assert_problem(&bytes, StatusCode::BAD_REQUEST, "UTF-8");

    assert_accepted(&json(client, r#"{"key":"only","value":1}"#).await, 1);
    let all = client.items(0, 1, SOON).await;
    assert_eq!(
        (keys(&all), &all[0]["seq"]),
        (vec!["only".to_owned()], &json!(1))
    );
    gateway.stop().await;
}

async fn what_is_not_for_it_is_refused_by_its_status(database: DatabaseUnderTest) {
    let setup = Setup::new(&database, "a").set("ingest.body_bytes", 2_048);
    let setup = setup.set("server.private_hosts", "[\"gateway.internal\"]");
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let good = r#"{"key":"k","value":1}"#;
    let large = format!("[{good}{}]", format!(",{good}").repeat(100));
    let answer = json(client, &large).await;
    assert_problem(&answer, StatusCode::PAYLOAD_TOO_LARGE, "ingest.body_bytes");
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
    ] {
        let answer = send(client, media, good).await;
        assert_problem(
            &answer,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "application/x-ndjson",
        );
    }
    let url = format!("{}/v1/modules", client.private);
    for module in ["unknown", "No%20Such", "%ff", ""] {
        let request = client.http.post(format!("{url}/{module}/changes"));
        let answer = client
            .send(request.json(&json!({"key": "k", "value": 1})))
            .await;
        assert_problem_or_bad_path(&answer);
    }
    let here = format!("{url}/{MODULE}/changes");
    let answer = client.send(client.http.get(&here)).await;
    assert_problem(&answer, StatusCode::METHOD_NOT_ALLOWED, "method");
    for (host, status) in [
        ("evil.example", StatusCode::MISDIRECTED_REQUEST),
        (
            "127.0.0.1.evil.example:8081",
            StatusCode::MISDIRECTED_REQUEST,
        ),
        ("gateway.internal:8081", StatusCode::ACCEPTED),
        ("localhost", StatusCode::ACCEPTED),
        ("[::1]:8081", StatusCode::ACCEPTED),
    ] {
        let request = client.http.post(&here).header("Host", host);
        let answer = client
            .send(request.json(&json!({"key": host, "value": 1})))
            .await;
        assert_eq!(answer.status, status, "{host}");
    }
    assert_eq!(
        client.items(0, 3, SOON).await.len(),
        3,
        "what was refused is not there"
    );
    gateway.stop().await;
}

#[track_caller]
fn assert_problem_or_bad_path(answer: &Answer) {
    let client_error = [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST];
    assert!(client_error.contains(&answer.status), "{answer:?}");
}

async fn a_full_queue_says_come_back(database: DatabaseUnderTest) {
    let setup = Setup::new(&database, "a")
        .set("ingest.queue", 1)
        .set("database.acquire_timeout_ms", 60_000)
        .set("database.statement_timeout_ms", 60_000);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    client.ingest(&json!({"key": "first", "value": 1})).await;
    client.items(0, 1, SOON).await;
    let mut other = database.producer().await;
    let lock = match database.kind {
        Kind::Sqlite => "BEGIN IMMEDIATE",
        Kind::Postgres => "BEGIN; LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE",
        Kind::MariaDb => "BEGIN; SELECT * FROM outbox FOR UPDATE",
    };
    other.execute(lock).await;
    let requests: Vec<_> = (0..10)
        .map(|number| {
            let client = client.clone();
            let change = json!({"key": format!("{number}"), "value": 1});
            tokio::spawn(async move { client.try_ingest(&change).await.unwrap() })
        })
        .collect();
    eventually("all but the waiting ones are refused", SOON, async || {
        (requests
            .iter()
            .filter(|request| request.is_finished())
            .count()
            >= 8)
            .then_some(())
    })
    .await;
    other.execute("ROLLBACK").await;
    let mut accepted = 1;
    for request in requests {
        let answer = request.await.unwrap();
        if answer.status == StatusCode::ACCEPTED {
            accepted += 1;
        } else {
            assert_problem(&answer, StatusCode::TOO_MANY_REQUESTS, "");
            assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
        }
    }
    assert!(
        (2..=3).contains(&accepted),
        "one written, one queued: {accepted}"
    );
    let all = client.items(0, accepted, SOON).await;
    assert_eq!(all.len(), accepted);
    gateway.stop().await;
}

async fn a_thousand_bodies_and_never_a_500(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let client = &gateway.client;
    let mut runner = TestRunner::new(Config::default());
    let (mut accepted, mut statuses) = (0, std::collections::BTreeMap::new());
    for _ in 0..1_000 {
        let (media, body) = requests().new_tree(&mut runner).unwrap().current();
        let answer = send(client, &media, body.clone()).await;
        let status = answer.status.as_u16();
        let shown = String::from_utf8_lossy(&body);
        assert!(
            [202, 400, 415].contains(&status),
            "{status} to {media} {shown:?}"
        );
        if status == 202 {
            accepted += usize::try_from(answer.json()["accepted"].as_u64().unwrap()).unwrap();
        } else {
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
        *statuses.entry(status).or_insert(0) += 1;
    }
    println!("{accepted} changes accepted, {statuses:?}");
    assert!(statuses[&202] > 100 && statuses[&400] > 100, "{statuses:?}");
    eventually("what was accepted is numbered", SOON, async || {
        let waits = "SELECT CAST(count(*) AS TEXT) FROM outbox";
        (database.text(waits).await.as_deref() == Some("0")).then_some(())
    })
    .await;
    let head = client.module().await["head"].as_u64().unwrap();
    let parked = "SELECT CAST(count(*) AS TEXT) FROM outbox_rejected";
    assert_eq!(
        database.text(parked).await.as_deref(),
        Some("0"),
        "what is accepted can be numbered"
    );
    let repeats = accepted - usize::try_from(head).unwrap();
    assert!(repeats < accepted / 2, "{repeats} repeats of {accepted}");
    gateway.stop().await;
}

/// Bodies from almost right to nonsense.
fn requests() -> impl Strategy<Value = (String, Vec<u8>)> {
    let media = prop_oneof![
        8 => Just("application/json".to_owned()),
        3 => Just("application/x-ndjson".to_owned()),
        1 => "[a-z]{1,8}/[a-z;= ]{1,12}",
    ];
    let array =
        prop::collection::vec(item(), 0..5).prop_map(|items| format!("[{}]", items.join(",")));
    let lines = prop::collection::vec(item(), 0..5).prop_map(|items| items.join("\n"));
    let body = prop_oneof![
        3 => item().prop_map(String::into_bytes),
        3 => array.prop_map(String::into_bytes),
        2 => lines.prop_map(String::into_bytes),
        1 => ".{0,60}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ];
    (media, body)
}

fn item() -> impl Strategy<Value = String> {
    let member = prop_oneof![
        6 => value().prop_map(|value| format!(r#""value":{value}"#)),
        1 => text().prop_map(|text| format!(r#""op":{text}"#)),
        1 => Just(r#""op":"delete""#.to_owned()),
        1 => text().prop_map(|text| format!(r#""audience":{text}"#)),
        1 => text().prop_map(|text| format!(r#""change_id":{text}"#)),
        1 => any::<i64>().prop_map(|time| format!(r#""occurred_at_ms":{time}"#)),
        1 => (0..2_000_000_000_000_i64).prop_map(|time| format!(r#""occurred_at_ms":{time}"#)),
    ];
    let key = prop_oneof![
        6 => "[a-z0-9 é日😀]{1,12}".prop_map(|key| Value::from(key).to_string()),
        1 => text(),
    ];
    (key, prop::collection::vec(member, 1..3))
        .prop_map(|(key, members)| format!(r#"{{"key":{key},{}}}"#, members.join(",")))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => ".{0,20}".prop_map(|text| Value::from(text).to_string()),
        1 => "[\\x00-\\x1f\\x7f\\u{85}]{1,4}".prop_map(|text| Value::from(text).to_string()),
        1 => value(),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        ".{0,20}".prop_map(|text| Value::from(text).to_string()),
        Just(r#""\u0000\ud83d\ude00\/""#.to_owned()),
        Just(r#""\ud800""#.to_owned()),
    ];
    leaf.prop_recursive(6, 20, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|all| format!("[{}]", all.join(" , "))),
            inner.prop_map(|value| format!(r#"{{"a":{value},"a":{value}}}"#)),
        ]
    })
}
