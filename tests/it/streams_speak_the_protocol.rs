//! `GET /v1/streams/{module}` is the read side of the Durable Streams protocol: each header and each status, and what
//! a client may conclude from them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    on_each_database,
    support::{
        database::{DatabaseUnderTest, Kind},
        gateway::{Answer, Client, InProcess, MODULE, Program, Setup},
        native::{Sse, cursor, events, metric, numbered, page, pages, positions, stream},
    },
};

on_each_database!(
    pages_hold_what_the_mirror_publishes,
    too_old_is_said_with_the_way_to_the_snapshot,
    a_gap_read_never_gets_an_answer_from_before,
);

const KEPT: &str = "private, max-age=60, stale-while-revalidate=300";

fn change(key: &str, audience: &str) -> Value {
    json!({"key": key, "audience": audience, "value": {"n": 1.10}})
}

async fn in_process(database: &DatabaseUnderTest, keys: &[(&str, &str)]) -> InProcess {
    let mut setup = Setup::new(database, "a");
    for (key, value) in keys {
        setup = setup.set(key, value);
    }
    InProcess::start(&setup).await
}

async fn sqlite() -> DatabaseUnderTest {
    DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap()
}

async fn five(client: &Client) {
    let audiences = ["*", "u1", "u2", "u1", "*"];
    let changes = audiences.iter().enumerate();
    let changes: Vec<_> = changes.map(|(n, a)| change(&format!("k{n}"), a)).collect();
    client.ingest(&json!(changes)).await;
    numbered(client, MODULE, 5).await;
}

fn assert_safe(answer: &Answer) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let vary = answer.headers.get_all("vary").iter();
    let mut vary = vary.filter_map(|value| value.to_str().ok());
    assert!(
        vary.any(|value| value.contains("authorization")),
        "{answer:?}"
    );
    assert!(!answer.header("cache-control").is_empty(), "{answer:?}");
}

async fn pages_hold_what_the_mirror_publishes(database: DatabaseUnderTest) {
    // The tail holds less than the log, so that pages come from the database too.
    let keys = [("native.page_changes", "2"), ("tail.changes", "2")];
    let gateway = in_process(&database, &keys).await;
    let client = &gateway.client;
    client
        .ingest(
            &json!([{"key": "k\"ü", "audience": "*", "value": {"a": "x"}, "occurred_at_ms": 1}]),
        )
        .await;
    numbered(client, MODULE, 1).await;
    five(client).await;

    let (all, end) = pages(client, "-1", "&audience=u1").await;
    assert_eq!(positions(&all), [1, 2, 3, 5, 6]);
    assert_eq!(end, cursor(6));
    let wanted = events(&database, "commission", &["*", "u1"]).await;
    let first = stream(client, "audience=u1").await;
    assert_eq!(
        first.text,
        format!("[{},{}]", wanted[0], wanted[1]),
        "byte for byte"
    );
    assert_eq!(first.header("content-type"), "application/json");
    assert_eq!(first.header("stream-next-offset"), cursor(2));
    assert_eq!(first.header("stream-up-to-date"), "", "there is more");
    assert_eq!(first.header("cache-control"), KEPT);
    assert_safe(&first);

    let last = stream(client, &format!("offset={}&audience=u1", cursor(5))).await;
    assert_eq!(positions(last.json().as_array().unwrap()), [6]);
    assert_eq!(last.header("stream-up-to-date"), "true");
    assert_eq!(last.header("cache-control"), "no-store");
    assert_safe(&last);
    let nothing = stream(client, &format!("offset={}", cursor(6))).await;
    assert_eq!(
        (nothing.status, nothing.text.as_str()),
        (StatusCode::OK, "[]")
    );
    assert_eq!(nothing.header("stream-next-offset"), cursor(6));
    assert_eq!(nothing.header("stream-up-to-date"), "true");

    // Without a change for the reader the cursor moves on all the same.
    let (none, moved) = page(client, &format!("offset={}&audience=u9", cursor(2))).await;
    assert_eq!((positions(&none), moved), (vec![6], cursor(6)));
    gateway.stop().await;
}

#[tokio::test]
async fn an_entity_tag_saves_the_body() {
    let database = sqlite().await;
    let gateway = in_process(&database, &[("native.page_changes", "2")]).await;
    let client = &gateway.client;
    five(client).await;
    let again = async |query: &str, tag: &str| {
        let url = format!("{}/v1/streams/commission?{query}", client.public);
        client
            .send(client.http.get(url).header("if-none-match", tag))
            .await
    };
    let cut = stream(client, "audience=u1").await;
    let tag = cut.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    for sent in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"x\", {tag}"),
        "*".to_owned(),
    ] {
        let known = again("audience=u1", &sent).await;
        assert_eq!(
            (known.status, known.text.as_str()),
            (StatusCode::NOT_MODIFIED, "")
        );
        for header in ["etag", "stream-next-offset", "cache-control"] {
            assert_eq!(known.header(header), cut.header(header), "{header}");
        }
    }
    assert_eq!(
        again("audience=u1", "\"other\"").await.status,
        StatusCode::OK
    );

    let end = format!("offset={}&audience=u2", cursor(4));
    let up_to_date = stream(client, &end).await;
    let known = again(&end, up_to_date.header("etag")).await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    assert_eq!(known.header("stream-up-to-date"), "true");
    client.ingest(&json!([change("k9", "*")])).await;
    numbered(client, MODULE, 6).await;
    let grown = again(&end, up_to_date.header("etag")).await;
    assert_eq!(grown.status, StatusCode::OK);
    assert_eq!(positions(grown.json().as_array().unwrap()), [5, 6]);
    gateway.stop().await;
}

#[tokio::test]
async fn only_what_is_for_everyone_is_kept_by_shared_caches() {
    const MODULES: &str = "[[modules]]\nname = \"commission\"\n[modules.poll]\npath = \"/c\"\n\
        cursor = { in = \"query\", name = \"since\" }\n";
    let database = sqlite().await;
    let setup = Setup::new(&database, "a")
        .modules(MODULES)
        .set("native.page_changes", 1);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    five(client).await;
    let everyone = stream(client, "").await;
    assert_eq!(
        everyone.header("cache-control"),
        KEPT.replace("private", "public")
    );
    let one = stream(client, "audience=u1").await;
    assert_eq!(one.header("cache-control"), KEPT);
    gateway.stop().await;
}

#[tokio::test]
async fn what_cannot_be_served_is_refused() {
    let database = sqlite().await;
    let gateway = in_process(&database, &[]).await;
    let client = &gateway.client;
    five(client).await;
    let long = format!("audience={}", "a".repeat(65));
    for query in [
        "offset=",
        "offset=0",
        "offset=-2",
        "offset=00000001_000000000000000G",
        "offset=00000001_0000000000000001,",
        "offset=-1&offset=now",
        "live=long-poll",
        "live=sse",
        "offset=-1&live=",
        "offset=-1&live=yes",
        "audience=",
        "audience=a%00b",
        "audience=%FF%FE",
        &long,
    ] {
        let answer = stream(client, query).await;
        let ours = query == "audience=%FF%FE" && answer.status == StatusCode::OK;
        assert!(
            ours || answer.status == StatusCode::BAD_REQUEST,
            "{query}: {answer:?}"
        );
        if answer.status == StatusCode::BAD_REQUEST {
            assert_eq!(
                answer.header("content-type"),
                "application/problem+json",
                "{query}"
            );
        }
        assert_safe(&answer);
    }
    for name in ["nothing", "Commission", "..", "%FF", "a%20b"] {
        let url = format!("{}/v1/streams/{name}", client.public);
        let answer = client.send(client.http.get(url)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{name}: {answer:?}");
    }
    let url = format!("{}/v1/streams/commission", client.public);
    for method in [http::Method::PUT, http::Method::POST, http::Method::DELETE] {
        let request = client.http.request(method, &url).body("[]");
        let answer = client.send(request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{answer:?}");
        assert_eq!(answer.header("allow"), "GET,HEAD", "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn now_and_head_tell_where_the_stream_ends() {
    let database = sqlite().await;
    let gateway = in_process(&database, &[]).await;
    let client = &gateway.client;
    five(client).await;
    let now = stream(client, "offset=now").await;
    assert_eq!((now.status, now.text.as_str()), (StatusCode::OK, "[]"));
    assert_eq!(now.header("stream-next-offset"), cursor(5));
    assert_eq!(now.header("stream-up-to-date"), "true");
    assert_eq!(now.header("cache-control"), "no-store");
    assert_eq!(now.header("etag"), "");
    assert_safe(&now);
    let url = format!("{}/v1/streams/commission", client.public);
    let head = client.send(client.http.head(url)).await;
    assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
    assert_eq!(head.header("content-type"), "application/json");
    assert_eq!(head.header("stream-next-offset"), cursor(5));
    assert_eq!(head.header("cache-control"), "no-store");
    assert_safe(&head);
    gateway.stop().await;
}

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

#[tokio::test]
async fn pages_of_other_origins_may_read_if_configured() {
    let database = sqlite().await;
    let keys = [("server.cors_origins", "[\"https://app.example.com\"]")];
    let gateway = in_process(&database, &keys).await;
    let client = &gateway.client;
    let url = format!("{}/v1/streams/commission", client.public);
    let from = async |origin: &str| {
        let request = client.http.get(&url).header("origin", origin);
        client.send(request).await
    };
    let known = from("https://app.example.com").await;
    assert_eq!(
        known.header("access-control-allow-origin"),
        "https://app.example.com"
    );
    let exposed = known.header("access-control-expose-headers");
    for header in [
        "stream-next-offset",
        "stream-up-to-date",
        "stream-cursor",
        "etag",
    ] {
        assert!(exposed.contains(header), "{exposed}");
    }
    assert_safe(&known);
    let other = from("https://other.example.com").await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    let preflight = client
        .http
        .request(http::Method::OPTIONS, format!("{}/v1/poll", client.public))
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type");
    let preflight = client.send(preflight).await;
    assert_eq!(preflight.status, StatusCode::OK, "{preflight:?}");
    assert!(
        preflight
            .header("access-control-allow-methods")
            .contains("POST")
    );
    gateway.stop().await;
}

async fn too_old_is_said_with_the_way_to_the_snapshot(database: DatabaseUnderTest) {
    const STATELESS: &str = "\n[[modules]]\nname = \"stateless\"\nstate = false\n";
    let setup = Setup::new(&database, "a")
        .set("tail.changes", 1)
        .add(STATELESS);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    five(client).await;
    database
        .execute("UPDATE module_head SET retained_from = 4 WHERE module = 'commission'")
        .await;
    database
        .execute("DELETE FROM change_log WHERE module = 'commission' AND position < 4")
        .await;
    for live in ["", "&live=long-poll", "&live=sse"] {
        for offset in [
            cursor(0),
            cursor(2),
            cursor(6),
            "00000002_0000000000000001".to_owned(),
        ] {
            let answer = stream(client, &format!("offset={offset}&audience=u%2f1{live}")).await;
            assert_eq!(
                answer.status,
                StatusCode::GONE,
                "{offset}{live}: {answer:?}"
            );
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert_eq!(answer.header("cache-control"), "no-store");
            let there = answer.header("location");
            assert_eq!(there, "/v1/modules/commission/snapshot?audience=u%2F1");
            let snapshot = format!("{}{there}", client.public);
            let snapshot = client.send(client.http.get(snapshot)).await;
            assert_eq!(snapshot.status, StatusCode::OK, "{snapshot:?}");
        }
    }
    let (kept, end) = pages(client, &cursor(3), "&audience=u1").await;
    assert_eq!((positions(&kept), end), (vec![4, 5], cursor(5)));
    for beginning in ["", "offset=-1&", "live=long-poll&offset=-1&"] {
        let (events, _) = page(client, &format!("{beginning}audience=u1")).await;
        assert_eq!(positions(&events), [4, 5], "what is there");
    }
    let url = format!(
        "{}/v1/streams/stateless?offset={}",
        client.public,
        cursor(9)
    );
    let stateless = client.send(client.http.get(url)).await;
    assert_eq!(stateless.status, StatusCode::GONE);
    assert_eq!(stateless.header("location"), "", "there is no snapshot");
    gateway.stop().await;
}

/// A replica that is behind the log must not say "up to date" before it has looked, and no cache may say it in its
/// place. And what waits asks nobody.
async fn a_gap_read_never_gets_an_answer_from_before(database: DatabaseUnderTest) {
    let gateway = Program::start(&Setup::new(&database, "a")).await;
    let setup = Setup::new(&database, "b")
        .target("mqtt://127.0.0.1:1")
        .set("tail.tick_ms", 60_000)
        .set("tail.full_ms", 60_000)
        .set("sequencer.idle_tick_ms", 50)
        .set("native.wait_ms", 50);
    let behind = Program::start(&setup).await;
    five(&gateway.client).await;

    let before = stream(&behind.client, "audience=u1").await;
    assert_eq!(positions(before.json().as_array().unwrap()), [1, 2, 4, 5]);
    assert_eq!(before.header("stream-up-to-date"), "true");
    assert_eq!(before.header("cache-control"), "no-store");
    gateway.client.ingest(&json!([change("k6", "u1")])).await;
    numbered(&gateway.client, MODULE, 6).await;
    let url = format!("{}/v1/streams/commission?audience=u1", behind.client.public);
    let request = behind
        .client
        .http
        .get(url)
        .header("if-none-match", before.header("etag"));
    let after = behind.client.send(request).await;
    assert_eq!(after.status, StatusCode::OK);
    assert_eq!(positions(after.json().as_array().unwrap()), [1, 2, 4, 5, 6]);

    let asked = async || {
        let mut sum = 0;
        for purpose in ["catchup", "snapshot", "state", "poll", "tail"] {
            let label = format!("purpose=\"{purpose}\"");
            sum += metric(&behind.client, "changeover_database_queries_total", &label).await;
        }
        sum
    };
    let queries = asked().await;
    for _ in 0..20 {
        let wait = format!("offset={}&live=long-poll&audience=u1", cursor(6));
        assert_eq!(
            stream(&behind.client, &wait).await.status,
            StatusCode::NO_CONTENT
        );
        let body = json!({"cursors": {"commission": cursor(6)}, "wait_ms": 20});
        let answer = crate::support::native::poll(&behind.client, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    // A pass over all modules may have been due.
    let more = asked().await - queries;
    assert!(more <= 3, "40 idle waits cost {more} queries");
    let answers = "changeover_native_reads_total";
    assert_eq!(
        metric(&behind.client, answers, "endpoint=\"long-poll\"").await,
        20
    );
}
