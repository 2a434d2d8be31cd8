//! Flags over OFREP 0.3: one and all, entity tags, refusals in the words of the protocol, and the stream that says when to evaluate
//! anew.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Answer, Client, InProcess, MODULE, Setup},
    native::{PATIENCE, metric},
    within,
};

const ALL: &str = "/ofrep/v1/evaluate/flags";
const ONE: &str = "/ofrep/v1/evaluate/flags/module.commission";

async fn gateway(keys: &[(&str, &str)]) -> InProcess {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    InProcess::start(&setup(&database, "a", keys)).await
}

fn setup(database: &DatabaseUnderTest, instance: &str, keys: &[(&str, &str)]) -> Setup {
    let setup = Setup::new(database, instance).among_others();
    keys.iter()
        .fold(setup, |setup, (key, value)| setup.set(key, value))
}

fn of(client_id: &str) -> String {
    json!({"context": {"targetingKey": client_id}}).to_string()
}

async fn send(client: &Client, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
    let request = client.http.post(format!("{}{path}", client.public));
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    client.send(request.body(body.to_owned())).await
}

async fn all(client: &Client, client_id: &str) -> Answer {
    let answer = send(client, ALL, &of(client_id), &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer
}

async fn unless(client: &Client, query: &str, client_id: &str, tag: &str) -> Answer {
    let path = format!("{ALL}{query}");
    send(client, &path, &of(client_id), &[("if-none-match", tag)]).await
}

async fn act(client: &Client, act: &str, percent: Option<u8>) {
    let path = format!("/admin/v1/modules/{MODULE}/{act}");
    let mut body = json!({"reason": "r"});
    if let Some(percent) = percent {
        body["percent"] = json!(percent);
    }
    let answer = client.post(&path, &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

fn encoded(tag: &str) -> String {
    percent_encoding::utf8_percent_encode(tag, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[tokio::test]
async fn one_and_all_are_told_as_promised() {
    let gateway = gateway(&[]).await;
    let client = &gateway.client;
    act(client, "ramp", Some(100)).await;
    let flag = |module: &str, value: &str, why: [&str; 3]| {
        let [reason, stage, word] = why;
        let key = format!("module.{module}");
        let metadata =
            json!({"stage": stage, "stage_requested": stage, "reason": word, "target": "local"});
        json!({"key": key, "value": value, "reason": reason, "variant": value, "metadata": metadata})
    };
    let ramped = flag(MODULE, "push", ["SPLIT", "ramp", "cohort"]);
    let others = flag("notices", "poll", ["STATIC", "mirror", "stage"]);
    let told = all(client, "t/1 ½").await;
    let stream = "/ofrep/v1/sse?targetingKey=t%2F1%20%C2%BD";
    let streams =
        json!([{"type": "sse", "endpoint": {"requestUri": stream}, "inactivityDelaySec": 120}]);
    assert_eq!(
        told.json(),
        json!({"flags": [ramped.clone(), others], "eventStreams": streams})
    );
    let one = send(client, ONE, &of("t/1 ½"), &[]).await;
    assert_eq!((one.status, one.json()), (StatusCode::OK, ramped.clone()));
    let escaped = ONE.replace("module.commission", "module%2Ecommission");
    assert_eq!(send(client, &escaped, &of("t"), &[]).await.json(), ramped);
    for answer in [told, one] {
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    // The whole context comes back with the address of the stream.
    let body = json!({"context": {"targetingKey": "t", "audience": "u 1", "agent": "shop/2", "more": [1]}, "more": 2});
    let told = send(client, ALL, &body.to_string(), &[]).await.json();
    let stream = "/ofrep/v1/sse?targetingKey=t&audience=u%201&agent=shop%2F2";
    assert_eq!(told["eventStreams"][0]["endpoint"]["requestUri"], stream);
    // All gateways of this process count together.
    for endpoint in ["ofrep-flag", "ofrep-flags"] {
        let label = format!("endpoint=\"{endpoint}\"");
        assert!(metric(client, "changeover_native_reads_total", &label).await >= 2);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn nothing_changes_without_a_flip() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&setup(&database, "a", &[])).await;
    let client = &gateway.client;
    let told = all(client, "t").await;
    let tag = told.header("etag").to_owned();
    let hex = Sha256::digest(told.text.as_bytes())
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    assert_eq!(tag, format!("\"{hex}\""));
    for sent in [
        &*tag,
        &hex,
        "*",
        &format!("W/{tag}"),
        &format!("\"x\", {tag}"),
    ] {
        let held = unless(client, "", "t", sent).await;
        assert_eq!(held.status, StatusCode::NOT_MODIFIED, "{sent}: {held:?}");
        assert_eq!((held.text.as_str(), held.header("etag")), ("", &*tag));
    }
    let other = unless(client, "", "other", &tag).await;
    assert_eq!(other.status, StatusCode::OK, "another client's");
    client.ingest(&json!([{"key": "k", "value": 1}])).await;
    client.items(0, 1, PATIENCE).await;
    gateway.stop().await;
    // Another process, another name: the same bytes.
    let gateway = InProcess::start(&setup(&database, "b", &[])).await;
    let client = &gateway.client;
    let held = unless(client, "", "t", &tag).await;
    assert_eq!(held.status, StatusCode::NOT_MODIFIED, "{held:?}");
    act(client, "ramp", Some(100)).await;
    let flipped = unless(client, "", "t", &tag).await;
    assert_eq!(flipped.status, StatusCode::OK);
    assert_ne!(flipped.header("etag"), tag);
    gateway.stop().await;
}

#[tokio::test]
async fn who_was_told_of_an_event_is_never_told_that_nothing_changed() {
    let gateway = gateway(&[("ofrep.settle_ms", "20")]).await;
    let client = &gateway.client;
    let tag = all(client, "t").await.header("etag").to_owned();
    let same = format!("?flagConfigEtag={}&flagConfigLastModified=1", encoded(&tag));
    let held = unless(client, &same, "t", &tag).await;
    assert_eq!(held.status, StatusCode::NOT_MODIFIED, "{held:?}");
    let other = unless(client, "?flagConfigEtag=%22other%22", "t", &tag).await;
    assert_eq!(other.status, StatusCode::OK);
    assert_eq!(other.header("etag"), tag);
    gateway.stop().await;
}

/// The client's stream is at one replica, and its evaluation comes to the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_waits_for_the_flip_that_a_client_was_told_of() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let patient = [("ofrep.settle_ms", "60000")];
    let a = InProcess::start(&setup(&database, "a", &patient)).await;
    let b = InProcess::start(&setup(&database, "b", &patient)).await;
    let mut held = all(&a.client, "t").await.header("etag").to_owned();
    assert_eq!(all(&b.client, "t").await.header("etag"), held);
    let mut stream = Stream::open(&a.client, "targetingKey=t", Some(&hash(&held))).await;
    for (flip, percent) in [("ramp", Some(100)), ("rollback", None), ("ramp", Some(100))] {
        act(&a.client, flip, percent).await;
        let event = stream.event().await;
        let told = event.data["etag"].as_str().unwrap();
        assert_ne!(told, held);
        let query = format!("?flagConfigEtag={}", encoded(told));
        let fetched = unless(&b.client, &query, "t", &held).await;
        assert_eq!(fetched.status, StatusCode::OK);
        assert_eq!(fetched.header("etag"), told, "of the flip, and no older");
        told.clone_into(&mut held);
    }
    drop(stream);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn refusals_are_those_of_the_protocol() {
    let gateway = gateway(&[("ofrep.body_bytes", "1024")]).await;
    let client = &gateway.client;
    let long = "x".repeat(129);
    let context = |members: &str| format!("{{\"context\":{members}}}");
    let missing = "context.targetingKey is missing: it is the id of the client";
    let cases: [(String, u16, &str, &str); 17] = [
        (String::new(), 400, "TARGETING_KEY_MISSING", missing),
        (" \n".to_owned(), 400, "TARGETING_KEY_MISSING", missing),
        ("{}".to_owned(), 400, "TARGETING_KEY_MISSING", missing),
        (context("null"), 400, "TARGETING_KEY_MISSING", missing),
        (context("{}"), 400, "TARGETING_KEY_MISSING", missing),
        (
            context("{\"targetingKey\":\"\"}"),
            400,
            "TARGETING_KEY_MISSING",
            missing,
        ),
        (
            context("{\"targetingKey\":null}"),
            400,
            "TARGETING_KEY_MISSING",
            missing,
        ),
        ("{".to_owned(), 400, "PARSE_ERROR", "the body: "),
        ("[]".to_owned(), 400, "PARSE_ERROR", "must be an object"),
        (
            "{} {}".to_owned(),
            400,
            "PARSE_ERROR",
            "trailing characters",
        ),
        ("\u{feff}{}".to_owned(), 400, "PARSE_ERROR", "the body: "),
        (
            context("[\"t\"]"),
            400,
            "INVALID_CONTEXT",
            "must be an object",
        ),
        (
            context("{\"targetingKey\":5}"),
            400,
            "INVALID_CONTEXT",
            "targetingKey: invalid type",
        ),
        (
            of(&long),
            400,
            "INVALID_CONTEXT",
            "targetingKey: has 129 bytes, at most 128 are allowed",
        ),
        (of("a\nb"), 400, "INVALID_CONTEXT", "control characters"),
        (
            context("{\"targetingKey\":\"t\",\"audience\":\"\"}"),
            400,
            "INVALID_CONTEXT",
            "audience",
        ),
        (
            of(&"x".repeat(1_024)),
            413,
            "GENERAL",
            "the body is too large or broken",
        ),
    ];
    for (body, status, code, says) in &cases {
        for (path, key) in [(ALL, None), (ONE, Some("module.commission"))] {
            let answer = send(client, path, body, &[]).await;
            assert_eq!(answer.status.as_u16(), *status, "{body}: {answer:?}");
            assert_eq!(answer.header("content-type"), "application/json");
            let told = answer.json();
            assert_eq!(told["errorCode"], *code, "{body}: {told}");
            assert_eq!(told.get("key").map(|key| key.as_str().unwrap()), key);
            let details = told["errorDetails"].as_str().unwrap();
            assert!(details.contains(says), "{body}: {details}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn there_is_a_flag_for_each_module_and_no_other() {
    let gateway = gateway(&[]).await;
    let client = &gateway.client;
    for key in [
        "module.unknown",
        "commission",
        "module.%FF",
        "modulescommission",
    ] {
        let answer = send(client, &format!("{ALL}/{key}"), &of("t"), &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
        assert_eq!(answer.json()["errorCode"], "FLAG_NOT_FOUND");
        assert!(answer.json()["key"].is_string(), "{answer:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn other_methods_and_addresses_are_problems() {
    let gateway = gateway(&[]).await;
    let client = &gateway.client;
    let long = "x".repeat(129);
    for (method, path) in [
        (Method::GET, ALL),
        (Method::PUT, ONE),
        (Method::POST, "/ofrep/v1/sse"),
    ] {
        let request = client
            .http
            .request(method, format!("{}{path}", client.public));
        let answer = client.send(request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    for query in [
        "",
        "targetingKey=",
        &format!("targetingKey={long}"),
        "targetingKey=t&audience=",
    ] {
        let answer = client
            .send(
                client
                    .http
                    .get(format!("{}/ofrep/v1/sse?{query}", client.public)),
            )
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_tells_its_client_alone() {
    let gateway = gateway(&[("ofrep.keep_alive_ms", "50"), ("ofrep.reconnect_ms", "800")]).await;
    let client = &gateway.client;
    let told = all(client, "t").await;
    let uri = text(&told.json()["eventStreams"][0]["endpoint"]["requestUri"]);
    let (_, query) = uri.split_once('?').unwrap();
    // Who names no event might have missed one.
    let mut stream = Stream::open(client, query, None).await;
    let first = stream.next().await;
    let retry: u64 = first
        .strip_prefix("retry: ")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!((400..=800).contains(&retry), "{retry}");
    let event = stream.event().await;
    assert_eq!(event.data["etag"], told.header("etag"));
    assert_eq!(event.id, hash(told.header("etag")));
    // Who has seen it hears nothing but that the stream lives.
    let mut knowing = Stream::open(client, query, Some(&event.id)).await;
    assert!(knowing.next().await.starts_with("retry: "));
    for _ in 0..3 {
        assert_eq!(knowing.next().await, ":\n\n");
    }
    // A flip that leaves this client where it is concerns others.
    let bucket = |id: &str| changeover::domain::bucket(MODULE, id);
    let mut ids = (0..).map(|n| format!("other {n}"));
    let early = ids.find(|id| bucket(id) < 1_000).unwrap();
    let late = ids.find(|id| bucket(id) >= 1_000).unwrap();
    let of = async |id: &str| {
        let told = all(client, id).await;
        let query = format!("targetingKey={}", encoded(id));
        Stream::open(client, &query, Some(&hash(told.header("etag")))).await
    };
    let (mut early, mut late) = (of(&early).await, of(&late).await);
    act(client, "ramp", Some(0)).await;
    // The stage that all are told of has changed.
    let staged = [
        early.event().await,
        late.event().await,
        knowing.event().await,
    ];
    assert!(
        staged
            .iter()
            .all(|event| event.data["type"] == "refetchEvaluation")
    );
    act(client, "ramp", Some(10)).await;
    let flipped = early.event().await;
    assert_ne!(flipped.id, staged[0].id);
    act(client, "ramp", Some(100)).await;
    // The first event since: none came for the flip that was not its own.
    let flipped = late.event().await;
    act(client, "rollback", None).await;
    let back = late.event().await;
    assert_ne!(flipped.id, back.id);
    assert_eq!(late.events, 3);
    gateway.stop().await;
}

#[tokio::test]
async fn streams_are_bounded_and_end() {
    let gateway = gateway(&[("ofrep.streams", "1"), ("ofrep.stream_ms", "300")]).await;
    let client = &gateway.client;
    let mut stream = Stream::open(client, "targetingKey=t", None).await;
    stream.event().await;
    let url = format!("{}/ofrep/v1/sse?targetingKey=u", client.public);
    let crowded = client.http.get(&url).send().await.unwrap();
    assert_eq!(crowded.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(crowded.headers().contains_key("retry-after"));
    assert_eq!(stream.try_next().await, None, "it ends in order");
    eventually("the place is free", PATIENCE, async || {
        let answer = client.http.get(&url).send().await.unwrap();
        (answer.status() == StatusCode::OK).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_stop_ends_streams_and_waits() {
    let gateway = gateway(&[("ofrep.settle_ms", "60000")]).await;
    let client = gateway.client.clone();
    let mut stream = Stream::open(&client, "targetingKey=t", None).await;
    stream.event().await;
    let waits = tokio::spawn({
        let client = client.clone();
        async move { unless(&client, "?flagConfigEtag=x", "t", "*").await }
    });
    within("the stop", PATIENCE, gateway.stop()).await;
    assert_eq!(stream.try_next().await, None, "it ends in order");
    // It may have come too late to be served.
    let _answer = within("the wait", PATIENCE, waits).await;
}

#[tokio::test]
async fn pages_of_other_origins_may_ask_if_configured() {
    let gateway = gateway(&[("server.cors_origins", "[\"https://app.example.com\"]")]).await;
    let client = &gateway.client;
    let origin = ("origin", "https://app.example.com");
    let told = send(client, ALL, &of("t"), &[origin]).await;
    assert_eq!(told.header("access-control-allow-origin"), origin.1);
    let exposed = told.header("access-control-expose-headers");
    assert!(
        exposed.contains("etag") && exposed.contains("retry-after"),
        "{exposed}"
    );
    let asked = "content-type,if-none-match,authorization,x-api-key";
    let preflight = client
        .http
        .request(Method::OPTIONS, format!("{}{ALL}", client.public))
        .header(origin.0, origin.1)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", asked);
    let preflight = client.send(preflight).await;
    assert_eq!(preflight.status, StatusCode::OK, "{preflight:?}");
    let allowed = preflight.header("access-control-allow-headers");
    for header in asked.split(',').chain(["last-event-id"]) {
        assert!(allowed.contains(header), "{allowed}");
    }
    let other = send(
        client,
        ALL,
        &of("t"),
        &[("origin", "https://evil.example.com")],
    )
    .await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    let url = format!("{}/ofrep/v1/sse?targetingKey=t", client.public);
    let stream = client.http.get(url).header(origin.0, origin.1).send().await;
    let stream = stream.unwrap();
    let allowed = &stream.headers()["access-control-allow-origin"];
    assert_eq!(allowed, origin.1);
    gateway.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_read_why_they_are_kept_out() {
    let gateway = gateway(&[
        ("server.cors_origins", "[\"https://app.example.com\"]"),
        ("server.max_url_bytes", "256"),
        ("rate.per_address.per_second", "1"),
        ("rate.per_address.burst", "50"),
    ])
    .await;
    let client = &gateway.client;
    let origin = ("origin", "https://app.example.com");
    let long = "x".repeat(300);
    for path in [ALL, "/v1/streams/commission", "/v1/poll"] {
        let path = format!("{path}?x={long}");
        let told = send(client, &path, "{}", &[origin]).await;
        assert_eq!(told.status, StatusCode::URI_TOO_LONG, "{told:?}");
        assert_eq!(told.header("access-control-allow-origin"), origin.1);
    }
    let mut told = send(client, ALL, &of("t"), &[origin]).await;
    for _ in 0..200 {
        told = send(client, ALL, &of("t"), &[origin]).await;
        if told.status == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    assert_eq!(told.status, StatusCode::TOO_MANY_REQUESTS, "{told:?}");
    assert_eq!(told.header("access-control-allow-origin"), origin.1);
    let exposed = told.header("access-control-expose-headers");
    assert!(exposed.contains("retry-after"), "{exposed}");
    // Nobody else reads it, and what no page may read stays so.
    let evil = [("origin", "https://evil.example.com")];
    let other = send(client, &format!("{ALL}?x={long}"), "{}", &evil).await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    let other = send(client, &format!("/openapi.json?x={long}"), "", &[origin]).await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    gateway.stop().await;
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// What an entity tag holds.
fn hash(tag: &str) -> String {
    tag.trim_matches('"').to_owned()
}

struct Event {
    id: String,
    data: Value,
}

/// An event stream that is read.
struct Stream {
    response: reqwest::Response,
    text: String,
    events: u32,
}

impl Stream {
    async fn open(client: &Client, query: &str, last: Option<&str>) -> Self {
        let request = client
            .http
            .get(format!("{}/ofrep/v1/sse?{query}", client.public));
        let request = last
            .iter()
            .fold(request, |request, id| request.header("last-event-id", *id));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{response:?}");
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-store"),
            ("x-accel-buffering", "no"),
        ] {
            assert_eq!(response.headers()[name], value);
        }
        Self {
            response,
            text: String::new(),
            events: 0,
        }
    }

    /// The next block; nothing once the server has ended the stream in order.
    async fn try_next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                return Some(self.text.drain(..end + 2).collect());
            }
            let chunk = within("an event", PATIENCE, self.response.chunk()).await;
            let chunk = chunk.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn next(&mut self) -> String {
        self.try_next().await.expect("the stream goes on")
    }

    /// The next event.
    async fn event(&mut self) -> Event {
        loop {
            let block = self.next().await;
            let Some(rest) = block.strip_prefix("id: ") else {
                assert!(
                    block.starts_with(':') || block.starts_with("retry: "),
                    "{block}"
                );
                continue;
            };
            self.events += 1;
            let lines: Vec<_> = rest.trim_end().lines().collect();
            let [id, "event: message", data] = lines[..] else {
                panic!("{block}");
            };
            let data = data.strip_prefix("data: ").unwrap();
            return Event {
                id: id.to_owned(),
                data: serde_json::from_str(data).unwrap(),
            };
        }
    }
}
