//! Polls without a cursor: the whole state each time, from memory while the tail can tell.

use std::{collections::BTreeMap, sync::atomic::Ordering::SeqCst};

use changeover::domain::Op;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use tokio::runtime;

use crate::legacy_gateway::Gateway;

const MODULE: &str = r#"
name = "menu"
[poll]
path = "/menu"
cursor = { kind = "none" }
audience = { in = "query", name = "uid" }
limit = { max = 4, default = 4 }
[poll.response]
body = '{"items":"$changes","cursor":"$cursor"}'
item = '["$key","$position"]'
"#;

#[tokio::test]
async fn the_state_comes_without_tombstones_in_position_order() {
    let gateway = Gateway::new(MODULE, 10);
    for (key, op) in [
        ("b", Op::Upsert),
        ("a", Op::Upsert),
        ("c", Op::Upsert),
        ("a", Op::Delete),
        ("b", Op::Upsert),
    ] {
        gateway.log.commit("*", key, op, "1");
    }
    gateway.catch_up();
    let answer = gateway.get("/menu").await;
    assert_eq!(answer.body, r#"{"items":[["c",3],["b",5]],"cursor":5}"#);
}

#[tokio::test]
async fn an_idle_poll_and_one_that_the_tail_covers_cost_no_read() {
    let gateway = Gateway::new(MODULE, 10);
    gateway.upsert("*", "a", "1");
    gateway.get("/menu?uid=u1").await;
    let reads = gateway.reads();
    gateway.get("/menu?uid=u1").await;
    gateway.upsert("u2", "other", "1");
    assert_eq!(gateway.get("/menu?uid=u1").await.json()["cursor"], 2);
    gateway.upsert("u1", "own", "1");
    gateway.upsert("*", "a", "2");
    let answer = gateway.get("/menu?uid=u1").await;
    assert_eq!(
        answer.json(),
        json!({"items":[["own",3],["a",4]],"cursor":4})
    );
    assert_eq!(gateway.reads(), reads);
}

#[tokio::test]
async fn what_the_tail_has_forgotten_is_read_again() {
    let gateway = Gateway::new(MODULE, 2);
    gateway.upsert("*", "a", "1");
    gateway.get("/menu").await;
    let reads = gateway.reads();
    for _ in 0..4 {
        gateway.upsert("*", "b", "1");
    }
    assert_eq!(
        gateway.get("/menu").await.json()["items"],
        json!([["a", 1], ["b", 5]])
    );
    assert_eq!(gateway.reads(), reads + 1);
}

#[tokio::test]
async fn many_first_polls_at_once_cause_one_read() {
    let gateway = Gateway::new(MODULE, 10);
    gateway.upsert("*", "a", "1");
    let polls = (0..50).map(|_| gateway.get("/menu"));
    futures_util::future::join_all(polls).await;
    assert_eq!(gateway.reads(), 1);
}

#[tokio::test]
async fn too_large_a_state_is_refused_and_not_cut() {
    let gateway = Gateway::new(MODULE, 10);
    for key in ["a", "b", "c", "d"] {
        gateway.upsert("*", key, "1");
    }
    assert_eq!(gateway.get("/menu").await.status, 200);
    gateway.upsert("*", "e", "1");
    for _ in 0..3 {
        let answer = gateway.get("/menu").await;
        assert_eq!(answer.status, 503);
        assert!(answer.header("retry-after").is_some());
    }
    let reads = gateway.reads();
    gateway.get("/menu").await;
    assert_eq!(gateway.reads(), reads, "that it is too large is remembered");
    gateway.log.commit("*", "a", Op::Delete, "null");
    gateway.catch_up();
    assert_eq!(gateway.get("/menu").await.status, 200);
}

#[tokio::test]
async fn without_a_database_what_is_in_memory_is_answered() {
    let gateway = Gateway::new(MODULE, 10);
    gateway.upsert("*", "a", "1");
    gateway.get("/menu").await;
    gateway.log.down.store(true, SeqCst);
    assert_eq!(gateway.get("/menu").await.status, 200);
    assert_eq!(gateway.get("/menu?uid=u1").await.status, 503);
}

#[tokio::test]
async fn a_new_epoch_is_read_again() {
    let gateway = Gateway::new(MODULE, 10);
    gateway.upsert("*", "a", "1");
    gateway.get("/menu").await;
    gateway.log.bump_epoch();
    gateway.catch_up();
    assert_eq!(gateway.get("/menu").await.json()["cursor"], 1_000_000);
}

/// Whatever happens, an answer is exactly the state as of its cursor.
#[test]
fn every_answer_is_the_state_as_of_its_cursor() {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    });
    let step = (0_u8..4, any::<bool>(), any::<bool>(), any::<bool>());
    let steps = proptest::collection::vec(step, 1..40);
    let run = runner.run(&steps, |steps| {
        runtime.block_on(async {
            let gateway = Gateway::new(MODULE, 3);
            let mut states = vec![BTreeMap::new()];
            for (key, upsert, sees, polls) in steps {
                let key = format!("k{key}");
                let op = if upsert { Op::Upsert } else { Op::Delete };
                let position = gateway.log.commit("*", &key, op, "1").position.get();
                let mut state: BTreeMap<String, u64> = states.last().unwrap().clone();
                state.remove(&key);
                if upsert {
                    state.insert(key, position);
                }
                states.push(state);
                if sees {
                    gateway.catch_up();
                }
                if polls {
                    let body = gateway.get("/menu").await.json();
                    let cursor = usize::try_from(body["cursor"].as_u64().unwrap()).unwrap();
                    let mut expected: Vec<_> = states[cursor].iter().collect();
                    expected.sort_by_key(|(_, position)| **position);
                    assert_eq!(body["items"], json!(expected), "as of {cursor}");
                }
            }
        });
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}
