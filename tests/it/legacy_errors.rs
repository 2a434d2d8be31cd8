//! Errors in the module's own envelope: statuses by kind, headers, content type.

use std::sync::atomic::Ordering::SeqCst;

use axum::body::Body;
use changeover::domain::Stage;
use http::{Method, Request};

use crate::legacy_gateway::{Answer, Gateway};

const MODULE: &str = r#"
name = "m"
state = false
[poll]
path = "/p"
methods = ["POST"]
cursor = { in = "query", name = "since" }
[poll.response]
error = '{"code":"$status","why":"$message"}'
content_type = "text/html; charset=utf-8"
headers = { X-Api = "1", X-Kind = "answer" }
error_headers = { X-Kind = "error" }
"#;

/// Each kind of error that a client can cause, with its real status.
const KINDS: [(&str, u16); 6] = [
    ("malformed", 400),
    ("method", 405),
    ("too_large", 413),
    ("retired", 410),
    ("too_old", 410),
    ("unavailable", 503),
];

async fn provoke(lines: &str, kind: &str) -> Answer {
    let gateway = Gateway::new(&format!("{MODULE}{lines}"), 1);
    let mut path = "/p?since=0";
    let mut method = Method::POST;
    let mut body = Body::empty();
    match kind {
        "malformed" => path = "/p?since=x",
        "method" => method = Method::DELETE,
        "too_large" => body = Body::from(vec![b'x'; 1_001]),
        "retired" => gateway.set_stage(Stage::Retired, 0),
        "too_old" | "unavailable" => {
            for _ in 0..3 {
                gateway.upsert("*", "k", "1");
            }
            if kind == "too_old" {
                gateway.log.prune(3);
                gateway.catch_up();
            }
            gateway.log.down.store(kind == "unavailable", SeqCst);
        }
        other => panic!("{other}"),
    }
    let request = Request::builder().method(method).uri(path);
    gateway.send(request.body(body).unwrap()).await
}

fn check_envelope(answer: &Answer, kind: &str, real: u16) {
    assert_eq!(answer.json()["code"], real, "{kind}: {}", answer.body);
    assert!(answer.json()["why"].is_string(), "{kind}");
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8"),
        "{kind}"
    );
    assert_eq!(answer.header("x-api"), Some("1"), "{kind}");
    assert_eq!(answer.header("x-kind"), Some("error"), "{kind}");
    assert_eq!(answer.header("allow").is_some(), kind == "method", "{kind}");
    assert_eq!(
        answer.header("retry-after").is_some(),
        kind == "unavailable",
        "{kind}"
    );
}

#[tokio::test]
async fn every_kind_wears_the_envelope() {
    for (kind, real) in KINDS {
        let answer = provoke("", kind).await;
        assert_eq!(answer.status.as_u16(), real, "{kind}");
        check_envelope(&answer, kind, real);
    }
}

#[tokio::test]
async fn each_kind_may_have_a_status_of_its_own() {
    for (kind, real) in KINDS {
        for (other, _) in KINDS {
            let lines = format!("error_status = 200\n[poll.response.errors]\n{other} = 299\n");
            let answer = provoke(&lines, kind).await;
            let expected = if kind == other { 299 } else { 200 };
            assert_eq!(answer.status.as_u16(), expected, "{kind} with {other}");
            check_envelope(&answer, kind, real);
        }
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_told_in_the_envelope() {
    let gateway = Gateway::new(&format!("{MODULE}errors.no_body = 499\n"), 1);
    let cut = std::io::Error::other("the connection ended");
    let body = futures_util::stream::iter([Err::<&[u8], _>(cut)]);
    let request = Request::post("/p").body(Body::from_stream(body)).unwrap();
    let answer = gateway.send(request).await;
    assert_eq!(answer.status.as_u16(), 499);
    assert_eq!(answer.json()["code"], 408);
}
