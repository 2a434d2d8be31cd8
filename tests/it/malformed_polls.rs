//! Bad requests get the configured error envelope, change nothing and are never a 500.

use axum::body::Body;
use http::{HeaderValue, Method, Request};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::json;
use tokio::runtime;

use crate::legacy_gateway::{Answer, Gateway};

const BY_QUERY: &str = r#"
name = "query"
[poll]
path = "/query"
methods = ["GET", "POST"]
cursor = { in = "query", name = "since" }
audience = { in = "query", name = "uid" }
client = { in = "query", name = "term" }
limit = { in = "query", name = "size", default = 2, max = 3 }
[poll.response]
error = '{"code":"$status","msg":"$message"}'
"#;

const BY_HEADER: &str = r#"
name = "header"
[poll]
path = "/header"
cursor = { in = "header", name = "X-Since", kind = "token" }
audience = { in = "header", name = "X-Uid" }
client = { in = "header", name = "X-Terminal" }
limit = { in = "header", name = "X-Size" }
"#;

const BY_PATH: &str = r#"
name = "path"
[poll]
path = "/p/{uid}/{since}/{size}"
cursor = { in = "path", name = "since" }
audience = { in = "path", name = "uid" }
limit = { in = "path", name = "size" }
"#;

const WHOLE: &str = r#"
name = "whole"
[poll]
path = "/whole"
cursor = { kind = "none" }
audience = { in = "query", name = "uid" }
"#;

const BY_COOKIE: &str = r#"
name = "cookie"
[poll]
path = "/cookie"
cursor = { in = "cookie", name = "since" }
audience = { in = "cookie", name = "uid" }
client = { in = "cookie", name = "term" }
limit = { in = "cookie", name = "size" }
"#;

const BY_FORM: &str = r#"
name = "form"
[poll]
path = "/form"
methods = ["POST", "PUT"]
cursor = { in = "form", name = "since" }
audience = { in = "form", name = "uid" }
client = { in = "form", name = "term" }
limit = { in = "form", name = "size" }
"#;

/// A module by itself, at a shared endpoint and in a batch.
const BY_JSON: &str = r#"
[[modules]]
name = "json"
[modules.poll]
path = "/json"
methods = ["POST"]
cursor = { in = "json", name = "/a/0/since", kind = "token" }
audience = { in = "json", name = "/uid" }
client = { in = "json", name = "/term" }
limit = { in = "json", name = "/size" }
[[endpoints]]
modules = ["json"]
names = { json = ["J", "7"] }
module = { in = "json", name = "/a/0/since" }
[endpoints.poll]
path = "/shared"
methods = ["POST"]
cursor = { in = "json", name = "/size" }
[[endpoints]]
modules = ["json"]
[endpoints.poll]
path = "/object"
methods = ["POST"]
audience = { in = "json", name = "/uid" }
[endpoints.batch]
cursors = { in = "json", name = "/a/0" }
[[endpoints]]
modules = ["json"]
[endpoints.poll]
path = "/list"
methods = ["POST"]
[endpoints.batch]
cursors = { in = "json", name = "/a", module = "/since", cursor = "/size" }
answers = "list"
max_modules = 3
"#;

fn filled(toml: &str) -> Gateway {
    // A tail of two, so that the database is asked as well.
    let gateway = if toml.contains("[[modules]]") {
        Gateway::of_config(toml, 2)
    } else {
        Gateway::new(toml, 2)
    };
    for key in ["a", "b", "c", "d"] {
        gateway.upsert("*", key, "1");
        gateway.upsert("u1", key, "2");
    }
    gateway.log.prune(3);
    gateway.catch_up();
    gateway
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[0-9]{1,21}",
        "[-+]?[0-9a-f_]{0,26}",
        "0000000[0-3]_000000000000000[0-9]",
        "[%+&=?/#*u1;.]{0,8}",
        "(%[0-9a-fA-F]{2}){1,6}",
        any::<String>().prop_map(|text| {
            percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        }),
    ]
}

fn check(answer: &Answer) -> Result<(), TestCaseError> {
    prop_assert!(answer.status.as_u16() < 500, "{answer:?}");
    prop_assert!(
        serde_json::from_str::<serde_json::Value>(&answer.body).is_ok(),
        "{answer:?}"
    );
    Ok(())
}

/// 1,000 requests, each of which must be understood or refused.
fn try_requests<S: Strategy>(
    toml: &str,
    strategy: &S,
    build: impl Fn(S::Value) -> Option<Request<Body>>,
) {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let gateway = runtime.block_on(async { filled(toml) });
    let mut runner = TestRunner::new(Config {
        cases: 1_000,
        failure_persistence: None,
        ..Config::default()
    });
    let run = runner.run(strategy, |values| match build(values) {
        Some(request) => check(&runtime.block_on(gateway.send(request))),
        None => Err(TestCaseError::reject("no HTTP library sends this")),
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn any_query_is_answered() {
    let values = [text(), text(), text(), text()];
    try_requests(
        BY_QUERY,
        &(values, any::<bool>()),
        |([a, b, c, d], post)| {
            let uri = format!("/query?since={a}&uid={b}&size={c}&term={d}");
            let method = if post { Method::POST } else { Method::GET };
            let request = Request::builder().method(method).uri(uri);
            request.body(Body::from(d)).ok()
        },
    );
}

#[test]
fn any_query_string_is_answered() {
    try_requests(BY_QUERY, &text(), |query| {
        Request::get(format!("/query?{query}"))
            .body(Body::empty())
            .ok()
    });
}

#[test]
fn any_header_is_answered() {
    // What an HTTP server lets through in a header's value.
    let byte = || prop_oneof![Just(b'\t'), b' '..=b'~', 0x80_u8..=0xff];
    let value = || {
        let bytes = proptest::collection::vec(byte(), 0..20);
        prop_oneof![text().prop_map(String::into_bytes), bytes]
    };
    try_requests(BY_HEADER, &[value(), value(), value(), value()], |values| {
        let mut request = Request::get("/header");
        for (name, value) in ["x-since", "x-uid", "x-terminal", "x-size"]
            .iter()
            .zip(values)
        {
            request = request.header(*name, HeaderValue::from_bytes(&value).ok()?);
        }
        request.body(Body::empty()).ok()
    });
}

#[test]
fn any_cookie_is_answered() {
    let byte = || prop_oneof![Just(b'\t'), b' '..=b'~', 0x80_u8..=0xff];
    let bytes = || proptest::collection::vec(byte(), 0..40);
    let pairs = [text(), text(), text(), text()];
    let pairs = pairs
        .prop_map(|[a, b, c, d]| format!("since={a}; uid={b}; size={c}; term={d}").into_bytes());
    try_requests(BY_COOKIE, &prop_oneof![pairs, bytes()], |cookie| {
        let request = Request::get("/cookie");
        let value = HeaderValue::from_bytes(&cookie).ok()?;
        request.header("cookie", value).body(Body::empty()).ok()
    });
}

/// Bodies of any bytes.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..60)
}

#[test]
fn any_form_is_answered() {
    let pairs = [text(), text(), text(), text()];
    let pairs = pairs.prop_map(|[a, b, c, d]| format!("since={a}&uid={b}&size={c}&term={d}"));
    let body = prop_oneof![pairs.prop_map(String::into_bytes), garbage()];
    try_requests(BY_FORM, &(body, any::<bool>()), |(body, put)| {
        let method = if put { Method::PUT } else { Method::POST };
        let request = Request::builder().method(method).uri("/form");
        request.body(Body::from(body)).ok()
    });
}

/// Documents in which the contracts find something, of any type.
fn document() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
        text().prop_map(|value| json!(value)),
        Just(json!("json")),
    ];
    let value = leaf.prop_recursive(3, 24, 4, |inner| {
        let name = prop_oneof!["since", "uid", "size", "term", "a", "json", "7", text()];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|list| json!(list)),
            proptest::collection::btree_map(name, inner, 0..5).prop_map(|map| json!(map)),
        ]
    });
    let whole = [value.clone(), value.clone(), value.clone(), value.clone()];
    let whole = whole.prop_map(|[since, uid, size, term]| {
        json!({"a": [{"since": since}, size], "uid": uid, "size": size, "term": term})
    });
    prop_oneof![whole, value].prop_map(|document| document.to_string().into_bytes())
}

#[test]
fn any_json_is_answered() {
    let path = prop_oneof![
        Just("/json"),
        Just("/shared"),
        Just("/object"),
        Just("/list")
    ];
    let cut = (document(), any::<prop::sample::Index>()).prop_map(|(mut document, end)| {
        document.truncate(end.index(document.len() + 1));
        document
    });
    let body = prop_oneof![4 => document(), 1 => cut, 1 => garbage()];
    try_requests(BY_JSON, &(path, body), |(path, body)| {
        Request::post(path).body(Body::from(body)).ok()
    });
}

#[tokio::test]
async fn a_deep_body_is_refused() {
    let gateway = filled(BY_JSON);
    // As docs/LEGACY.md says; the object around it is one level more.
    for (levels, status) in [(126, 200), (127, 400)] {
        let deep = "[".repeat(levels) + &"]".repeat(levels);
        let body = format!("{{\"other\":{deep}}}");
        let answer = gateway.send(Request::post("/json").body(Body::from(body)).unwrap());
        assert_eq!(answer.await.status, status, "{levels}");
    }
    for path in ["/json", "/shared", "/object", "/list"] {
        let request = Request::post(path).body(Body::from("[".repeat(1_000)));
        let answer = gateway.send(request.unwrap()).await;
        assert_eq!(answer.status, 400, "{path}");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(
            message.starts_with("body: is not valid JSON: recursion limit"),
            "{message}"
        );
    }
}

#[test]
fn any_path_is_answered() {
    try_requests(BY_PATH, &[text(), text(), text()], |[uid, since, size]| {
        Request::get(format!("/p/{uid}/{since}/{size}"))
            .body(Body::empty())
            .ok()
    });
}

#[test]
fn any_poll_for_the_whole_state_is_answered() {
    try_requests(WHOLE, &text(), |uid| {
        Request::get(format!("/whole?uid={uid}"))
            .body(Body::empty())
            .ok()
    });
}

#[tokio::test]
async fn each_refusal_says_what_is_allowed() {
    let gateway = filled(BY_QUERY);
    let long = format!("uid={}", "u".repeat(65));
    for (query, message) in [
        (
            "since=-1",
            "cursor (query parameter since): must be a whole number from 0 to 9223372036854775807",
        ),
        (
            "since=+1",
            "cursor (query parameter since): must be a whole number from 0 to 9223372036854775807",
        ),
        (
            "since=1.0",
            "cursor (query parameter since): must be a whole number from 0 to 9223372036854775807",
        ),
        (
            "since=9223372036854775808",
            "cursor (query parameter since): must be a whole number from 0 to 9223372036854775807",
        ),
        ("since=%ff", "cursor (query parameter since): must be UTF-8"),
        ("size=0", "limit (query parameter size): must be above 0"),
        (
            "size=-1",
            "limit (query parameter size): must be a whole number above 0",
        ),
        (
            "size=many",
            "limit (query parameter size): must be a whole number above 0",
        ),
        (
            "uid=%00",
            "audience (query parameter uid): must not contain control characters",
        ),
        (
            "uid=%c3%28",
            "audience (query parameter uid): must be UTF-8",
        ),
        (
            &long,
            "audience (query parameter uid): has 65 bytes, at most 64 are allowed",
        ),
        ("term=%80", "client (query parameter term): must be UTF-8"),
    ] {
        let answer = gateway.get(&format!("/query?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.json()["msg"], message, "{query}");
        assert_eq!(answer.header("changeover-stage"), Some("mirror"));
    }
}

#[tokio::test]
async fn a_large_limit_is_cut_to_the_most() {
    let gateway = filled(BY_QUERY);
    for size in ["4", "1000", "99999999999999999999999"] {
        let answer = gateway
            .get(&format!("/query?uid=u1&since=2&size={size}"))
            .await;
        assert_eq!(
            answer.json()["changes"].as_array().unwrap().len(),
            3,
            "{size}"
        );
    }
}

#[tokio::test]
async fn of_a_repeated_parameter_the_first_counts() {
    let gateway = filled(BY_QUERY);
    let answer = gateway
        .get("/query?uid=u1&size=1&uid=u2&since=2&size=3&since=x")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["cursor"], 3);
}

#[tokio::test]
async fn names_and_values_are_decoded() {
    let gateway = Gateway::new(BY_QUERY, 10);
    gateway.upsert("u 1+é", "k", "1");
    let answer = gateway.get("/query?u%69d=u+1%2B%C3%A9&%zz=%zz").await;
    assert_eq!(answer.json()["changes"][0]["key"], "k");
}

#[tokio::test]
async fn another_method_is_refused_with_the_allowed_ones() {
    let gateway = filled(BY_HEADER);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        let request = Request::builder().method(method).uri("/header");
        let answer = gateway.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        assert_eq!(answer.json()["code"], 405);
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let gateway = filled(BY_HEADER);
    let get = gateway.get("/header").await;
    let head = gateway
        .send(Request::head("/header").body(Body::empty()).unwrap())
        .await;
    assert_eq!(head.status, 200);
    assert_eq!(head.body, "");
    assert_eq!(
        head.header("content-length"),
        Some(&*get.body.len().to_string())
    );
    assert_eq!(head.header("changeover-transport"), Some("poll"));
}

#[tokio::test]
async fn a_body_is_dropped_up_to_its_bound() {
    let gateway = filled(BY_QUERY);
    let post = |bytes| {
        Request::post("/query")
            .body(Body::from("x".repeat(bytes)))
            .unwrap()
    };
    assert_eq!(gateway.send(post(1_000)).await.status, 200);
    let answer = gateway.send(post(1_001)).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.json()["msg"], "the body is too large");
}

#[tokio::test]
async fn an_unknown_path_is_a_problem() {
    let gateway = filled(BY_QUERY);
    let answer = gateway.get("/nowhere").await;
    assert_eq!(answer.status, 404);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(
        answer.body,
        r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"nothing is served at this path"}"#
    );
}
