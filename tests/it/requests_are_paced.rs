//! `[rate]`: who asks more often than it may is told when to come again, in the words that it understands, and delays nobody else.

use http::StatusCode;
use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Answer, Client, Program, Setup},
    metrics::metric,
    native::PATIENCE,
    socket::Socket,
};

const MOST: u32 = 200;

async fn start(setup: impl FnOnce(Setup) -> Setup) -> Program {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = setup(Setup::new(&database, "a"));
    let setup = setup
        .set("rate.per_address.per_second", 1)
        .set("rate.per_address.burst", 10);
    Program::start(&setup.add(BY_PATH)).await
}

const BY_PATH: &str = r#"
[[modules]]
name = "places"
[modules.poll]
path = "/places/{uid}/list"
cursor = { in = "query", name = "since" }
audience = { in = "path", name = "uid" }
[modules.poll.response]
error = '{"no":"$status","why":"$message"}'
"#;

/// Asks until it is refused.
async fn until_refused(client: &Client, path: &str, from: &str) -> Answer {
    for _ in 0..MOST {
        let answer = ask(client, path, from).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return answer;
        }
        assert!(answer.status.is_success(), "{answer:?}");
    }
    panic!("it may ask {MOST} times")
}

async fn ask(client: &Client, path: &str, from: &str) -> Answer {
    let request = client.http.get(format!("{}{path}", client.public));
    client.send(request.header("X-Forwarded-For", from)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_told_in_words_that_it_understands() {
    let gateway = start(|setup| setup).await;
    let client = &gateway.client;
    let poll = "/api/commission/list?since=0";
    let refused = until_refused(client, poll, "").await;
    assert_eq!(
        refused.json(),
        json!({"code": 429, "msg": "too many requests, come back later"})
    );
    assert_eq!(refused.header("retry-after"), "1");
    let refused = until_refused(client, "/places/u1/list", "").await;
    assert_eq!(
        refused.json(),
        json!({"no": 429, "why": "too many requests, come back later"})
    );
    assert_eq!(refused.header("retry-after"), "1");
    let refused = until_refused(client, "/v1/streams/commission?offset=-1", "").await;
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert_eq!(refused.header("retry-after"), "1");
    for _ in 0..20 {
        let health = ask(client, "/healthz", "").await;
        assert_eq!(health.status, StatusCode::OK);
    }
    // What anybody says of itself changes nothing.
    until_refused(client, poll, "192.0.2.77").await;

    // Another address goes on.
    let mut other = Socket::connect_from("127.0.0.2", &client.public).await;
    other.send(poll).await;
    let (head, _) = other.answer().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    eventually("its time comes", PATIENCE, async || {
        let answer = ask(client, poll, "").await;
        answer.status.is_success().then_some(())
    })
    .await;
    let counted = metric(client, "changeover_too_soon_total", &[("of", "address")]).await;
    assert!(counted >= 4.0, "{counted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_behind_a_proxy_have_a_pace_each() {
    let gateway = start(|setup| setup.set("server.proxies", "[\"127.0.0.0/8\"]")).await;
    let client = &gateway.client;
    let poll = "/api/commission/list?since=0";
    for from in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        // Ten at once are allowed to each, whatever the others do.
        for _ in 0..10 {
            let answer = ask(client, poll, from).await;
            assert_eq!(answer.status, StatusCode::OK, "{from}: {answer:?}");
        }
        until_refused(client, poll, from).await;
    }
    let neighbour = ask(client, poll, "2001:db8::2").await;
    assert_eq!(
        neighbour.status,
        StatusCode::TOO_MANY_REQUESTS,
        "of the same network"
    );
    let stranger = ask(client, poll, "2001:db8:0:1::1").await;
    assert_eq!(stranger.status, StatusCode::OK);
}
