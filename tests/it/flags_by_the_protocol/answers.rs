//! One flag and all of them: what is told, under which entity tag, and that nothing changes without a flip.

use http::StatusCode;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{ALL, ONE, act, all, encoded, gateway, hash, of, send, setup, stream::Stream, unless};
use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::{InProcess, MODULE},
    native::{PATIENCE, metric},
};

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
