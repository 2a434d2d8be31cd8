//! Cursors that are times: which ticks a page holds, where it leaves the client, and what comes when the log
//! does not reach back so far.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::{Value, json};

use crate::legacy_gateway::{Answer, Gateway};

const MODULE: &str = r#"
name = "commission"
[poll]
path = "/list"
cursor = { in = "query", name = "since", kind = "KIND" }
audience = { in = "query", name = "uid" }
limit = { in = "query", name = "size", default = 4, max = 4 }
[poll.response]
body = '{"items":"$changes","since":"$cursor","more":"$has_more","state":"$snapshot","time":"$server_time_ms"}'
item = '"$key"'
"#;

/// Whole seconds, like everything here. The log is closed up to 1767323045.678901.
const T: i64 = 1_700_000_000;
const OPEN: i64 = 1_767_323_045;

fn gateway(kind: &str, tail: usize) -> Gateway {
    Gateway::new(&MODULE.replace("KIND", kind), tail)
}

/// Keys by the second after `T`.
fn fill(gateway: &Gateway, seconds: &[(i64, &[&str])]) {
    for (second, keys) in seconds {
        for (n, key) in keys.iter().enumerate() {
            let at = (T + second) * 1_000_000 + i64::try_from(n).unwrap();
            gateway.log.time.store(at, SeqCst);
            gateway.upsert("*", key, "1");
        }
    }
}

const TICKS: &[(i64, &[&str])] = &[
    (1, &["a", "b"]),
    (2, &["c"]),
    (3, &["a", "d", "e"]),
    (9, &["f"]),
];

#[expect(
    clippy::needless_pass_by_value,
    reason = "what is expected is written where it is handed over"
)]
fn assert_page(answer: &Answer, items: Value, since: i64, more: bool) {
    assert_eq!(answer.json()["items"], items, "{answer:?}");
    assert_eq!(answer.json()["since"], since, "{answer:?}");
    assert_eq!(answer.json()["more"], more, "{answer:?}");
}

async fn since(gateway: &Gateway, since: i64) -> Answer {
    gateway.get(&format!("/list?since={since}")).await
}

#[tokio::test]
async fn pages_are_whole_ticks_from_memory_and_from_the_database() {
    for tail in [100, 1] {
        let gateway = gateway("timestamp-s", tail);
        fill(&gateway, TICKS);
        // Four would split the third tick.
        let first = since(&gateway, 0).await;
        assert_page(&first, json!(["a", "b", "c"]), T + 3, true);
        assert_eq!(first.json()["time"], (T + 3) * 1_000);
        let second = since(&gateway, T + 3).await;
        assert_page(&second, json!(["a", "d", "e", "f"]), OPEN, false);
        assert_eq!(second.json()["time"], OPEN * 1_000);
        let one = gateway.get(&format!("/list?since={}&size=1", T + 3)).await;
        assert_page(&one, json!(["a", "d", "e"]), T + 9, true);
        assert_eq!(first.json()["state"], false);
        assert_eq!(gateway.reads() == 0, tail == 100);
    }
}

#[tokio::test]
async fn a_tick_that_is_open_is_held_back() {
    let gateway = gateway("timestamp-s", 100);
    fill(&gateway, &[(1, &["a"]), (OPEN - T, &["b"])]);
    assert_page(&since(&gateway, 0).await, json!(["a"]), OPEN, false);
    assert_page(&since(&gateway, OPEN).await, json!([]), OPEN, false);
    let gateway = self::gateway("timestamp-ms", 100);
    fill(&gateway, &[(OPEN - T, &["b"])]);
    let ms = OPEN * 1_000 + 678;
    assert_page(&since(&gateway, 0).await, json!(["b"]), ms, false);
}

#[tokio::test]
async fn a_cursor_of_the_future_is_kept_without_asking_anybody() {
    let gateway = gateway("timestamp-s", 100);
    fill(&gateway, TICKS);
    let answer = since(&gateway, OPEN + 100).await;
    assert_page(&answer, json!([]), OPEN + 100, false);
    assert_eq!(answer.json()["time"], OPEN * 1_000, "not the client's time");
    assert_eq!(gateway.reads(), 0);
}

#[tokio::test]
async fn too_old_gets_the_state_in_whole_ticks() {
    let gateway = gateway("timestamp-s", 1);
    fill(&gateway, TICKS);
    // `e`, of the third tick, is the oldest that is left.
    gateway.log.prune(6);
    gateway.catch_up();
    let first = since(&gateway, 0).await;
    assert_page(&first, json!(["b", "c"]), T + 3, true);
    assert_eq!(first.json()["state"], true);
    let second = since(&gateway, T + 3).await;
    assert_page(&second, json!(["a", "d", "e", "f"]), OPEN, false);
    assert_eq!(
        second.json()["state"],
        true,
        "its tick is not whole in the log"
    );
    let after = since(&gateway, T + 4).await;
    assert_page(&after, json!(["f"]), OPEN, false);
    assert_eq!(after.json()["state"], false);
}

#[tokio::test]
async fn a_tick_of_before_that_holds_too_many_comes_whole() {
    for (tail, prune) in [(100, 1), (1, 1), (1, 3)] {
        let gateway = gateway("timestamp-s", tail);
        fill(
            &gateway,
            &[(1, &["a", "b", "c", "d", "e", "f"]), (2, &["g"])],
        );
        gateway.log.prune(prune);
        gateway.catch_up();
        let all = json!(["a", "b", "c", "d", "e", "f"]);
        assert_page(&since(&gateway, 0).await, all, T + 2, true);
    }
}

#[tokio::test]
async fn a_time_of_before_a_new_epoch_is_too_old() {
    let gateway = gateway("timestamp-s", 100);
    fill(&gateway, TICKS);
    gateway.log.bump_epoch();
    gateway.catch_up();
    let answer = since(&gateway, T + 9).await;
    assert_eq!(answer.json()["state"], true);
    assert_page(&answer, json!(["f"]), OPEN, false);
}

#[tokio::test]
async fn rfc3339_in_and_out() {
    let gateway = gateway("rfc3339", 100);
    fill(&gateway, &[(1, &["a"])]);
    let answer = gateway.get("/list?since=2023-11-14T23:13:21+01:00").await;
    assert_eq!(
        answer.body,
        r#"{"items":["a"],"since":"2026-01-02T03:04:05.678Z","more":false,"state":false,"time":1767323045678}"#
    );
    let again = gateway.get("/list?since=2026-01-02T03:04:05.678Z").await;
    assert_eq!(again.json()["items"], json!([]));
    let refused = gateway.get("/list?since=yesterday").await;
    assert_eq!(refused.status, 400);
    assert!(
        refused
            .body
            .contains("cursor (query parameter since): must be an RFC 3339 time"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn without_the_database_old_times_wait() {
    let gateway = gateway("timestamp-s", 1);
    fill(&gateway, TICKS);
    gateway.log.down.store(true, SeqCst);
    assert_eq!(since(&gateway, 0).await.status, 503);
    assert_page(&since(&gateway, OPEN).await, json!([]), OPEN, false);
}
