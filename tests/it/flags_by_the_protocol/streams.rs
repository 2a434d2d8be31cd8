//! The stream that says when to evaluate anew: to its client alone, within bounds, and to an end in order.

use http::StatusCode;
use serde_json::Value;

use super::{act, all, encoded, gateway, hash, stream::Stream, unless};
use crate::support::{eventually, gateway::MODULE, native::PATIENCE, within};

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

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
