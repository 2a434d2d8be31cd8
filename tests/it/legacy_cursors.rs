//! Where an answer comes from, and where it leaves the client.

use std::sync::atomic::Ordering::SeqCst;

use changeover::domain::Op;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use tokio::runtime;

use crate::legacy_gateway::{Answer, Gateway};

const MODULE: &str = r#"
name = "commission"
[poll]
path = "/list"
cursor = { in = "query", name = "since" }
audience = { in = "query", name = "uid" }
limit = { in = "query", name = "size", default = 100, max = 100 }
[poll.response]
body = '{"items":"$changes","cursor":"$cursor","more":"$has_more","state":"$snapshot","head":"$head"}'
item = '["$key","$op","$position"]'
"#;

const STATELESS: &str = r#"
name = "commission"
state = false
[poll]
path = "/list"
cursor = { in = "query", name = "since" }
"#;

fn token(toml: &str) -> String {
    toml.replace(r#"name = "since""#, r#"name = "since", kind = "token""#)
}

fn filled(toml: &str, tail: usize, changes: usize) -> Gateway {
    let gateway = Gateway::new(toml, tail);
    for number in 1..=changes {
        gateway.upsert("*", &format!("k{}", number % 3), "1");
    }
    gateway
}

fn positions(answer: &Answer) -> Vec<u64> {
    let items = answer.json()["items"].as_array().unwrap().clone();
    items.iter().map(|item| item[2].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn the_tail_answers_without_the_database() {
    let gateway = filled(MODULE, 5, 10);
    for (since, expected) in [(5, vec![6, 7, 8, 9, 10]), (9, vec![10]), (10, vec![])] {
        let answer = gateway.get(&format!("/list?since={since}")).await;
        assert_eq!(positions(&answer), expected);
        assert_eq!(answer.json()["cursor"], 10);
    }
    assert_eq!(gateway.reads(), 0);
}

#[tokio::test]
async fn an_empty_answer_moves_the_cursor_to_the_tails_end() {
    let gateway = filled(MODULE, 5, 3);
    gateway.upsert("u2", "x", "1");
    let answer = gateway.get("/list?since=3&uid=u1").await;
    assert_eq!(
        answer.body,
        r#"{"items":[],"cursor":4,"more":false,"state":false,"head":4}"#
    );
    assert_eq!(gateway.reads(), 0);
}

#[tokio::test]
async fn a_cut_answer_ends_at_its_last_item() {
    let gateway = filled(MODULE, 5, 10);
    for (since, size, expected) in [(6, 2, vec![7, 8]), (1, 3, vec![2, 3, 4])] {
        let answer = gateway
            .get(&format!("/list?since={since}&size={size}"))
            .await;
        assert_eq!(positions(&answer), expected);
        assert_eq!(answer.json()["cursor"], *expected.last().unwrap());
        assert_eq!(answer.json()["more"], true);
    }
}

#[tokio::test]
async fn an_exact_fit_is_not_cut() {
    let gateway = filled(MODULE, 5, 10);
    for (since, size) in [(8, 2), (2, 8)] {
        let answer = gateway
            .get(&format!("/list?since={since}&size={size}"))
            .await;
        assert_eq!(answer.json()["more"], false);
        assert_eq!(answer.json()["cursor"], 10);
    }
}

#[tokio::test]
async fn before_the_tail_the_log_answers_up_to_a_fresh_head() {
    let gateway = filled(MODULE, 5, 10);
    gateway.log.commit("*", "late", Op::Upsert, "1");
    let answer = gateway.get("/list?since=2").await;
    assert_eq!(positions(&answer), (3..=11).collect::<Vec<_>>());
    assert_eq!(answer.json()["cursor"], 11);
    assert_eq!(gateway.reads(), 1);
}

#[tokio::test]
async fn the_beginning_of_a_whole_log_is_not_too_old() {
    let gateway = filled(MODULE, 5, 10);
    let answer = gateway.get("/list").await;
    assert_eq!(positions(&answer), (1..=10).collect::<Vec<_>>());
    assert_eq!(answer.json()["state"], false);
}

#[tokio::test]
async fn too_old_gets_the_state_in_position_order() {
    let gateway = filled(MODULE, 2, 10);
    gateway.log.commit("*", "k0", Op::Delete, "null");
    gateway.log.prune(9);
    gateway.catch_up();
    // 7 + 1 < 9; 8 + 1 is the first that is still held.
    let answer = gateway.get("/list?since=7").await;
    let expected = json!([
        ["k2", "upsert", 8],
        ["k1", "upsert", 10],
        ["k0", "delete", 11]
    ]);
    assert_eq!(answer.json()["items"], expected);
    assert_eq!(answer.json()["state"], true);
    assert_eq!(answer.json()["cursor"], 11);
    let answer = gateway.get("/list?since=8").await;
    assert_eq!(answer.json()["state"], false);
    assert_eq!(positions(&answer), [9, 10, 11]);
    let cut = gateway.get("/list?since=7&size=1").await;
    assert_eq!(cut.json()["cursor"], 8);
    assert_eq!(cut.json()["more"], true);
}

#[tokio::test]
async fn a_replica_that_does_not_know_of_retention_yet_finds_out() {
    let gateway = filled(MODULE, 2, 10);
    gateway.log.prune(9);
    let answer = gateway.get("/list?since=3").await;
    assert_eq!(answer.json()["state"], true);
}

#[tokio::test]
async fn without_state_too_old_is_gone() {
    let gateway = filled(STATELESS, 2, 10);
    gateway.log.prune(9);
    let answer = gateway.get("/list?since=3").await;
    assert_eq!(answer.status, 410);
    assert_eq!(answer.json()["code"], 410);
    assert_eq!(answer.header("link"), None);
}

#[tokio::test]
async fn above_the_tail_the_replica_looks_again() {
    let gateway = filled(MODULE, 5, 3);
    for key in ["x", "y"] {
        gateway.log.commit("*", key, Op::Upsert, "1");
    }
    let answer = gateway.get("/list?since=4").await;
    assert_eq!(positions(&answer), [5]);
    assert_eq!(answer.json()["state"], false);
}

#[tokio::test]
async fn above_the_databases_head_is_a_restart() {
    let gateway = filled(MODULE, 5, 3);
    let answer = gateway.get("/list?since=9").await;
    assert_eq!(answer.json()["state"], true);
    assert_eq!(positions(&answer), [1, 2, 3]);
    assert_eq!(answer.json()["cursor"], 3);
}

#[tokio::test]
async fn without_a_database_a_cursor_ahead_stays() {
    let gateway = filled(MODULE, 5, 3);
    gateway.log.down.store(true, SeqCst);
    let answer = gateway.get("/list?since=9").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        r#"{"items":[],"cursor":9,"more":false,"state":false,"head":3}"#
    );
}

#[tokio::test]
async fn without_a_database_the_tail_goes_on_and_the_rest_comes_back_later() {
    let gateway = filled(MODULE, 5, 10);
    gateway.log.down.store(true, SeqCst);
    assert_eq!(positions(&gateway.get("/list?since=7").await), [8, 9, 10]);
    let answer = gateway.get("/list?since=2").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(
        answer.body,
        r#"{"code":503,"message":"the answer cannot be given now, come back later"}"#
    );
}

#[tokio::test]
async fn a_token_of_another_epoch_is_a_restart() {
    let gateway = filled(&token(MODULE), 5, 3);
    let old = gateway.get("/list?since=00000001_0000000000000002").await;
    assert_eq!(old.json()["cursor"], "00000001_0000000000000003");
    gateway.log.bump_epoch();
    gateway.log.commit("*", "new", Op::Upsert, "1");
    // Before and after this replica has heard of it.
    for since in [
        "00000001_0000000000000001",
        "00000002_00000000000f4240",
        "00000001_0000000000000003",
        "00000009_0000000000000003",
    ] {
        let answer = gateway.get(&format!("/list?since={since}")).await;
        let state = !since.starts_with("00000002");
        let known = since == "00000001_0000000000000001";
        if known {
            // The tail still covers it: the new epoch is heard of later.
            assert_eq!(answer.json()["cursor"], "00000001_0000000000000003");
            continue;
        }
        assert_eq!(answer.json()["state"], state, "{since}");
        assert_eq!(
            answer.json()["cursor"],
            "00000002_00000000000f4241",
            "{since}"
        );
    }
}

#[tokio::test]
async fn an_integer_of_another_epoch_is_too_old_by_itself() {
    let gateway = filled(MODULE, 5, 3);
    gateway.log.bump_epoch();
    gateway.log.commit("*", "new", Op::Upsert, "1");
    gateway.catch_up();
    let answer = gateway.get("/list?since=3").await;
    assert_eq!(answer.json()["state"], true);
    assert_eq!(answer.json()["cursor"], 1_000_001);
}

/// What may happen between two polls of a client.
#[derive(Debug, Clone)]
enum Event {
    Commit(bool, u8, bool),
    CatchUp,
    Prune(u64),
    Down(bool),
    Poll(u32),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (any::<bool>(), 0_u8..6, any::<bool>()).prop_map(|(own, key, upsert)| Event::Commit(own, key, upsert)),
        2 => Just(Event::CatchUp),
        1 => (0_u64..6).prop_map(Event::Prune),
        1 => any::<bool>().prop_map(Event::Down),
        4 => (1_u32..6).prop_map(Event::Poll),
    ];
    proptest::collection::vec(event, 1..60)
}

/// A client that applies what it is told ends with the log's state, and its cursor never goes back.
#[test]
fn a_polling_client_converges_and_never_goes_back() {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    });
    let run = runner.run(&events(), |events| {
        runtime.block_on(async {
            let gateway = Gateway::new(MODULE, 4);
            let mut client = Client::default();
            let mut truth = std::collections::BTreeMap::new();
            let mut head = 0;
            for event in events {
                match event {
                    Event::Commit(own, key, upsert) => {
                        let (audience, op) = (
                            ["*", "u1"][usize::from(own)],
                            [Op::Delete, Op::Upsert][usize::from(upsert)],
                        );
                        head = gateway
                            .log
                            .commit(audience, &format!("{audience}{key}"), op, "1")
                            .position
                            .get();
                        truth.insert(format!("{audience}{key}"), (head, upsert));
                    }
                    Event::CatchUp => gateway.catch_up(),
                    Event::Prune(kept) => {
                        // Retention never overtakes the tail here: that is for the tail's reader.
                        gateway.catch_up();
                        gateway.log.prune((head + 1).saturating_sub(kept).max(1));
                    }
                    Event::Down(down) => gateway.log.down.store(down, SeqCst),
                    Event::Poll(size) => client.poll(&gateway, size).await,
                }
            }
            gateway.log.down.store(false, SeqCst);
            gateway.catch_up();
            for _ in 0..=head {
                client.poll(&gateway, 3).await;
            }
            assert_eq!(client.cursor, head);
            assert_eq!(client.held, truth);
        });
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}

#[derive(Default)]
struct Client {
    cursor: u64,
    held: std::collections::BTreeMap<String, (u64, bool)>,
}

impl Client {
    async fn poll(&mut self, gateway: &Gateway, size: u32) {
        let answer = gateway
            .get(&format!("/list?uid=u1&since={}&size={size}", self.cursor))
            .await;
        if answer.status == 503 {
            return;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        for item in body["items"].as_array().unwrap() {
            let position = item[2].as_u64().unwrap();
            assert!(position > self.cursor, "{body} after {}", self.cursor);
            let held = (position, item[1] == "upsert");
            self.held.insert(item[0].as_str().unwrap().to_owned(), held);
        }
        let cursor = body["cursor"].as_u64().unwrap();
        assert!(cursor >= self.cursor, "{body} after {}", self.cursor);
        self.cursor = cursor;
    }
}
