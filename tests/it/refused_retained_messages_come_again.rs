//! A broker refuses the retained message of a module for a while. That is shown, the changes go on meanwhile, and once the broker takes it, it
//! comes by itself: clients on push hear of flips and panics by it.

use changeover::config::mqtt::Protocol;
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    follower::Follower,
    gateway::{InProcess, MODULE, changeover},
    mosquitto::Mosquitto,
    native::PATIENCE,
    pruned::ingest,
    servers_are_skipped,
    targets::{acknowledged, begun, done, setup, target, until},
};

const LINES: &str = "allow_anonymous true\nacl_file {dir}/acl\n";
/// The gateway may publish changes, but no retained message.
const CHANGES_ONLY: &str = "topic readwrite changeover/c/#\ntopic read #\n";
const OPEN: &str = "topic readwrite #\n";
const A_DAY_MS: u64 = 86_400_000;

async fn gateway(broker: &Mosquitto, retry_ms: u64) -> InProcess {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = setup(&database, "gw-1")
        .set("mirror.refusal_tries", 2)
        .set("mirror.halt_retry_ms", retry_ms)
        .set("mirror.settle_ms", 100)
        .add(&target("one", broker, ""));
    let gateway = InProcess::start(&setup).await;
    begun(&gateway.client, "one").await;
    gateway
}

async fn given_up(gateway: &InProcess) {
    until(&gateway.client, "one", "that is shown", |target| {
        let trouble = target["trouble"].as_str();
        // One of them, or both.
        trouble.is_some_and(|why| {
            why.starts_with("the retained message of ") && why.contains("NotAuthorized")
        })
    })
    .await;
}

/// What the gate of the next step says beside its checks.
async fn caveats(gateway: &InProcess) -> Vec<String> {
    let path = format!("/admin/v1/modules/{MODULE}/gates");
    let gate = gateway.client.post(&path, &json!({"step": "ramp"})).await;
    assert_eq!(gate.status, 200, "{gate:?}");
    let told = gate.json()["caveats"].as_array().unwrap().clone();
    let text = |caveat: &Value| caveat.as_str().unwrap().to_owned();
    told.iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gates_and_acts_say_so_meanwhile() {
    if servers_are_skipped() {
        return;
    }
    let broker = Mosquitto::start_with_files(LINES, &[("acl", CHANGES_ONLY)]);
    let gateway = gateway(&broker, A_DAY_MS).await;
    given_up(&gateway).await;
    let caveat = eventually("the gate says it", PATIENCE, async || {
        caveats(&gateway).await.pop()
    })
    .await;
    assert!(caveat.starts_with("target one: "), "{caveat}");
    assert!(caveat.contains("NotAuthorized"), "{caveat}");
    let helps = "`changeover target retry one`";
    assert!(caveat.contains(helps), "{caveat}");
    // So does who takes the step, and the page of the module.
    let path = format!("/admin/v1/modules/{MODULE}/ramp?dry_run=true");
    let body = json!({"percent": 10, "reason": "a test", "force": true});
    let tried = gateway.client.post(&path, &body).await;
    assert_eq!(tried.status, 200, "{tried:?}");
    let warnings = tried.json()["warnings"].to_string();
    assert!(warnings.contains(helps), "{warnings}");
    let shown = changeover(
        &gateway.client,
        &[
            "module", "gates", MODULE, "--step", "ramp", "--output", "table",
        ],
    )
    .await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(&format!("warning: {caveat}")), "{shown}");

    broker.reload("acl", OPEN);
    done(&gateway.client, &["retry", "one"]).await;
    eventually("nothing is to be said any more", PATIENCE, async || {
        caveats(&gateway).await.is_empty().then_some(())
    })
    .await;
    gateway.stop().await;
}

async fn comes(gateway: &InProcess, broker: &Mosquitto) {
    let topic = format!("changeover/m/{MODULE}");
    let terminal = Follower::start(&broker.url(), Protocol::V5, "terminal", &[&topic]);
    let told = |seen: &crate::support::follower::Record| !seen.bookmarks.is_empty();
    terminal
        .wait("the retained message, which the broker takes by now", told)
        .await;
    until(&gateway.client, "one", "it is well", |target| {
        target["connected"] == true && target["trouble"] == Value::Null
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_rest() {
    if servers_are_skipped() {
        return;
    }
    let broker = Mosquitto::start_with_files(LINES, &[("acl", CHANGES_ONLY)]);
    let gateway = gateway(&broker, 1_000).await;
    given_up(&gateway).await;
    ingest(&gateway.client, "a", 5).await;
    acknowledged(&gateway.client, "one", 5).await;
    broker.reload("acl", OPEN);
    comes(&gateway, &broker).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_new_connection() {
    if servers_are_skipped() {
        return;
    }
    let mut broker = Mosquitto::start_with_files(LINES, &[("acl", CHANGES_ONLY)]);
    let gateway = gateway(&broker, A_DAY_MS).await;
    given_up(&gateway).await;
    broker.stop();
    broker.write("acl", OPEN);
    broker.restart();
    comes(&gateway, &broker).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_somebody_says_so() {
    if servers_are_skipped() {
        return;
    }
    let broker = Mosquitto::start_with_files(LINES, &[("acl", CHANGES_ONLY)]);
    let gateway = gateway(&broker, A_DAY_MS).await;
    given_up(&gateway).await;
    broker.reload("acl", OPEN);
    done(&gateway.client, &["retry", "one"]).await;
    comes(&gateway, &broker).await;
    gateway.stop().await;
}
