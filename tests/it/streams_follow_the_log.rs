//! `GET /v1/streams/{module}` that waits: long-polls and server-sent events, after the Durable Streams protocol.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    gateway::{Answer, MODULE},
    native::{Sse, cursor, numbered, positions, stream},
    streams::{assert_safe, change, five, in_process, sqlite},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_waits() {
    let database = sqlite().await;
    let gateway = in_process(&database, &[("native.wait_ms", "300")]).await;
    let client = &gateway.client;
    five(client).await;
    let at_end = format!("offset={}&live=long-poll&audience=u1", cursor(5));
    let idle = stream(client, &at_end).await;
    assert_eq!(
        (idle.status, idle.text.as_str()),
        (StatusCode::NO_CONTENT, "")
    );
    assert_eq!(idle.header("stream-next-offset"), cursor(5));
    assert_eq!(idle.header("stream-up-to-date"), "true");
    assert_eq!(idle.header("cache-control"), "no-store");
    assert_safe(&idle);
    let slot = |answer: &Answer| answer.header("stream-cursor").parse::<u64>().unwrap();
    let since_2024 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        - 1_728_432_000;
    assert!(slot(&idle).abs_diff(since_2024 / 20) <= 1, "{idle:?}");
    let ahead = slot(&idle) + 10;
    let passed = stream(client, &format!("{at_end}&cursor={ahead}")).await;
    assert!(
        (ahead + 1..=ahead + 180).contains(&slot(&passed)),
        "{passed:?}"
    );
    let odd = stream(client, &format!("{at_end}&cursor=x")).await;
    assert!(
        slot(&odd) <= slot(&idle) + 5,
        "what is no number counts as none"
    );

    let there = stream(client, "offset=-1&live=long-poll&audience=u1").await;
    assert_eq!(positions(there.json().as_array().unwrap()), [1, 2, 4, 5]);
    assert_eq!(there.header("stream-up-to-date"), "true");
    assert!(slot(&there) > 0 && !there.header("etag").is_empty());
    gateway.stop().await;

    let gateway = in_process(&database, &[("native.wait_ms", "600000")]).await;
    let client = gateway.client.clone();
    let comes = |offset: String| {
        let client = client.clone();
        tokio::spawn(async move {
            let query = format!("offset={offset}&live=long-poll&audience=u1");
            stream(&client, &query).await
        })
    };
    let waits = [comes(cursor(5)), comes("now".to_owned())];
    // Changes for others wake nobody in a way that shows.
    client.ingest(&json!([change("k6", "u2")])).await;
    numbered(&client, MODULE, 6).await;
    let mut number = 6;
    for wait in waits {
        let mut wait = wait;
        let answer = loop {
            // Whether it has begun to wait is not to be seen from here: it gets one of these.
            number += 1;
            client.ingest(&json!([change("k7", "u1")])).await;
            numbered(&client, MODULE, number).await;
            tokio::select! {
                answer = &mut wait => break answer.unwrap(),
                () = tokio::time::sleep(Duration::from_millis(300)) => {}
            }
        };
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let events = answer.json().as_array().unwrap().clone();
        assert!(!events.is_empty());
        assert!(
            events.iter().all(|event| event["audience"] == "u1"),
            "{events:?}"
        );
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_sent_events() {
    let database = sqlite().await;
    let keys = [
        ("native.page_changes", "2"),
        ("native.stream_ms", "2000"),
        ("native.keep_alive_ms", "100"),
    ];
    let gateway = in_process(&database, &keys).await;
    let client = &gateway.client;
    database
        .execute("INSERT INTO outbox (module, entity_key, value) VALUES ('commission', 'k', '{\"a\":\r\n [1,\n\n 2],\r\"b\": \"\\n\"}')")
        .await;
    numbered(client, MODULE, 1).await;
    five(client).await;

    let mut sse = Sse::open(client, "offset=-1&audience=u1").await;
    assert_eq!(sse.status, StatusCode::OK);
    for (header, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(sse.headers[header], value);
    }
    let (mut seen, mut last) = (Vec::new(), Value::Null);
    let mut last_slot = 0;
    while last["upToDate"] != true {
        let data = sse.event("data").await;
        seen.extend(data.as_array().unwrap().clone());
        last = sse.event("control").await;
        let newest = positions(&seen).last().copied().unwrap();
        assert!(last["streamNextOffset"].as_str().unwrap() >= cursor(newest).as_str());
        let slot: u64 = last["streamCursor"].as_str().unwrap().parse().unwrap();
        assert!(slot >= last_slot && slot > 0);
        last_slot = slot;
    }
    assert_eq!(positions(&seen), [1, 2, 3, 5, 6]);
    assert_eq!(seen[0]["data"], json!({"a": [1, 2], "b": "\n"}));
    assert_eq!(last["streamNextOffset"], cursor(6));

    // News for others moves the cursor, so that a quiet client does not fall out of retention.
    client.ingest(&json!([change("k7", "u2")])).await;
    let moved = sse.event("control").await;
    assert_eq!(moved["streamNextOffset"], cursor(7));
    assert_eq!(moved["upToDate"], true);
    client.ingest(&json!([change("k8", "u1")])).await;
    assert_eq!(positions(sse.event("data").await.as_array().unwrap()), [8]);
    assert_eq!(sse.event("control").await["upToDate"], true);
    let mut comments = 0;
    while let Some(sent) = sse.next().await {
        comments += u32::from(sent.event.is_empty());
    }
    assert!(
        comments > 0,
        "silence is broken, and the stream ends by itself"
    );

    let mut now = Sse::open(client, "offset=now&audience=u1").await;
    let control = now.event("control").await;
    assert_eq!(
        (&control["streamNextOffset"], &control["upToDate"]),
        (&json!(cursor(8)), &json!(true))
    );
    let ahead = control["streamCursor"].as_str().unwrap();
    let mut passing = Sse::open(client, &format!("offset=-1&cursor={ahead}")).await;
    passing.event("data").await;
    let control = passing.event("control").await;
    let slot = |text: &str| text.parse::<u64>().unwrap();
    assert!(slot(control["streamCursor"].as_str().unwrap()) > slot(ahead));
    gateway.stop().await;
}
