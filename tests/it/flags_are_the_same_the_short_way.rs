//! All flags are answered without the router, unless pages of other origins may ask: then they go through it. Whatever is asked, both
//! answer the same.

use std::collections::BTreeMap;

use http::{Method, StatusCode, header};
use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::{InProcess, Setup},
};

const PATH: &str = "/ofrep/v1/evaluate/flags";
/// Its answer is large enough to be compressed.
const MODULES: usize = 20;

#[derive(Debug, PartialEq)]
struct Answered {
    status: StatusCode,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Asked {
    method: Method,
    query: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Asked {
    fn of(body: impl Into<String>) -> Self {
        Self {
            method: Method::POST,
            query: "",
            headers: Vec::new(),
            body: body.into(),
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn query(self, query: &'static str) -> Self {
        Self { query, ..self }
    }

    fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }
}

async fn gateway(origins: &str) -> InProcess {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let module = |n| format!("[[modules]]\nname = \"m{n}\"\n");
    let modules: String = (0..MODULES).map(module).collect();
    let setup = Setup::new(&database, "a")
        .modules(&modules)
        .set("server.cors_origins", origins)
        .set("ofrep.body_bytes", 1024)
        .set("ofrep.settle_ms", 1);
    InProcess::start(&setup).await
}

async fn answered(gateway: &InProcess, asked: &Asked) -> Answered {
    let client = &gateway.client;
    let url = format!("{}{PATH}{}", client.public, asked.query);
    let request = client.http.request(asked.method.clone(), url);
    let headers = asked.headers.iter();
    let request = headers.fold(request, |request, (name, value)| {
        request.header(*name, value)
    });
    let answer = request.body(asked.body.clone()).send().await.unwrap();
    let headers = answer.headers().iter();
    // What pages of other origins read, and may differ.
    let shared = headers.filter(|(name, value)| {
        let of_pages = name.as_str().starts_with("access-control-");
        let varies = *name == header::VARY && value.as_bytes().starts_with(b"origin");
        !of_pages && !varies && *name != header::DATE
    });
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    Answered {
        status: answer.status(),
        headers: shared
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body: answer.bytes().await.unwrap().to_vec(),
    }
}

#[tokio::test]
async fn whatever_is_asked() {
    let short = gateway("[]").await;
    let routed = gateway("[\"*\"]").await;
    let known = json!({"context": {"targetingKey": "terminal-1"}}).to_string();
    let plain = Asked::of(&*known);
    let first = answered(&short, &plain).await;
    let tag = &first.headers["etag"];
    let told = Box::leak(format!("?flagConfigEtag={}", tag.trim_matches('"')).into_boxed_str());
    let cases = [
        (plain.clone(), 200),
        (plain.clone().with("if-none-match", tag), 304),
        (
            plain
                .clone()
                .with("if-none-match", &format!("W/{tag}, \"b\"")),
            304,
        ),
        (plain.clone().with("if-none-match", "\"another\""), 200),
        (plain.clone().with("accept-encoding", "gzip"), 200),
        (
            plain
                .clone()
                .with("accept-encoding", "gzip")
                .with("if-none-match", tag),
            304,
        ),
        (plain.clone().query(told).with("if-none-match", tag), 304),
        (
            plain
                .clone()
                .query("?flagConfigEtag=abc")
                .with("if-none-match", tag),
            200,
        ),
        (plain.clone().with("x-forwarded-for", "192.0.2.1"), 200),
        (Asked::of(""), 400),
        (Asked::of("{}"), 400),
        (Asked::of("{\"context\":[]}"), 400),
        (Asked::of("{\"context\":{\"targetingKey\":7}}"), 400),
        (
            Asked::of("{\"context\":{\"targetingKey\":\"a\",\"audience\":\"\"}}"),
            400,
        ),
        (Asked::of("no JSON"), 400),
        (Asked::of("x".repeat(1025)), 413),
        (plain.clone().method(Method::PUT), 405),
        (plain.clone().method(Method::GET), 405),
    ];
    for (asked, status) in cases {
        let (one, other) = (
            answered(&short, &asked).await,
            answered(&routed, &asked).await,
        );
        assert_eq!(one, other, "{asked:?}");
        assert_eq!(one.status, status, "{asked:?}");
    }
    short.stop().await;
    routed.stop().await;
}
