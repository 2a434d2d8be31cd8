//! gzip above a size, on a real gateway: what is inflated is what others get plain.

use std::{io::Read, time::Duration};

use flate2::read::GzDecoder;
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::{InProcess, Setup},
    within,
};

const MODULES: &str = r#"
[[modules]]
name = "commission"
[modules.poll]
path = "/list"
cursor = { in = "query", name = "since" }
[modules.poll.response]
etag = true
"#;

struct Raw {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Raw {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn inflated(&self) -> String {
        let mut text = String::new();
        GzDecoder::new(&*self.bytes)
            .read_to_string(&mut text)
            .unwrap();
        text
    }
}

async fn ask(gateway: &InProcess, method: Method, path: &str, headers: &[(&str, &str)]) -> Raw {
    let client = &gateway.client;
    let mut request = client
        .http
        .request(method, format!("{}{path}", client.public));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    Raw {
        status: response.status(),
        headers: response.headers().clone(),
        bytes: response.bytes().await.unwrap().to_vec(),
    }
}

/// A gateway with a log whose polls are answered with more than 4,000 bytes.
async fn gateway(above: usize) -> InProcess {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "gw-1").modules(MODULES);
    let gateway = InProcess::start(&setup.set("server.compress_above_bytes", above)).await;
    let items: Vec<_> = (0..50)
        .map(|n| json!({"key": format!("k{n}"), "value": {"text": "é".repeat(20), "n": n}}))
        .collect();
    gateway.client.ingest(&json!(items)).await;
    crate::support::eventually("the changes", Duration::from_mins(1), async || {
        let poll = ask(&gateway, Method::GET, "/list", &[]).await;
        poll.bytes
            .ends_with(br#""cursor":50,"has_more":false}"#)
            .then_some(())
    })
    .await;
    gateway
}

const GZIP: (&str, &str) = ("accept-encoding", "gzip, deflate");

#[tokio::test]
async fn a_client_that_accepts_gzip_gets_the_same_bytes() {
    let gateway = gateway(4_000).await;
    let plain = ask(&gateway, Method::GET, "/list", &[]).await;
    let text = String::from_utf8(plain.bytes.clone()).unwrap();
    assert!(text.len() > 4_000, "{}", text.len());
    assert_eq!(plain.header("content-encoding"), "");
    assert_eq!(plain.header("vary"), "accept-encoding", "a cache must know");

    let zipped = ask(&gateway, Method::GET, "/list", &[GZIP]).await;
    assert_eq!(zipped.header("content-encoding"), "gzip");
    assert_eq!(zipped.header("vary"), "accept-encoding");
    assert!(
        zipped.bytes.len() < text.len() / 4,
        "{}",
        zipped.bytes.len()
    );
    assert_eq!(zipped.inflated(), text);

    // The weak tag of the compressed answer still is that of the plain one.
    assert_eq!(zipped.header("etag"), format!("W/{}", plain.header("etag")));
    let tag = zipped.header("etag");
    let again = ask(
        &gateway,
        Method::GET,
        "/list",
        &[GZIP, ("if-none-match", tag)],
    )
    .await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    assert_eq!(again.bytes, b"");
    assert_eq!(again.header("content-encoding"), "");

    for (name, value) in [
        ("accept-encoding", "br"),
        ("accept-encoding", "gzip;q=0"),
        ("accept-encoding", "identity"),
    ] {
        let answer = ask(&gateway, Method::GET, "/list", &[(name, value)]).await;
        assert_eq!(answer.header("content-encoding"), "", "{value}");
        assert_eq!(answer.bytes, plain.bytes, "{value}");
    }

    let head = ask(&gateway, Method::HEAD, "/list", &[GZIP]).await;
    assert_eq!(head.header("content-encoding"), "");
    assert_eq!(head.header("content-length"), text.len().to_string());
    assert_eq!(head.header("etag"), plain.header("etag"));

    // Nothing new, and errors: too small.
    for path in ["/list?since=50", "/list?since=x", "/healthz", "/nowhere"] {
        let small = ask(&gateway, Method::GET, path, &[GZIP]).await;
        assert_eq!(small.header("content-encoding"), "", "{path}");
        assert_eq!(small.header("vary"), "", "{path}");
    }
    within("the stop", Duration::from_mins(1), gateway.stop()).await;
}

#[tokio::test]
async fn zero_switches_it_off() {
    let gateway = gateway(0).await;
    let answer = ask(&gateway, Method::GET, "/list", &[GZIP]).await;
    assert_eq!(answer.header("content-encoding"), "");
    assert_eq!(answer.header("vary"), "");
    assert!(answer.bytes.starts_with(b"{"));
    within("the stop", Duration::from_mins(1), gateway.stop()).await;
}
