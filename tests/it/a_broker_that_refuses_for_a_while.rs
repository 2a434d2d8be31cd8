//! A broker withdraws the gateway's permission for a module under load, and gives it back. The module halts with the broker's reason, another
//! one goes on, terminals stay up to date by catch-up; and when the broker accepts again, everything goes on by itself and nothing is missing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{InProcess, Setup},
    load::{Load, Plan, orders_at},
    mosquitto::Mosquitto,
    reckoning::Reckoning,
    terminal::{MODULES, flow, pair},
    witness::Witness,
};

const PATIENCE: Duration = Duration::from_mins(1);
const INFLIGHT: u64 = 100;
const SPELLS: u64 = 2;

const OPEN: &str = "topic readwrite #\n";
/// Terminals may still listen.
const NOBODY_PUBLISHES_ORDERS: &str = "topic read changeover/c/orders/#\ntopic readwrite changeover/m/#\ntopic readwrite changeover/c/other/#\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loses_nothing() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let seed = rand::random();
    println!("seed {seed}");
    let lines = "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 1000\nacl_file {dir}/acl\n";
    let broker = Mosquitto::start_with_files(lines, &[("acl", OPEN)]);
    let witness = Witness::before(broker.port()).await;
    let setup = Setup::new(&database, "gw-1")
        .modules(MODULES)
        .add("\n[[modules]]\nname = \"other\"\n")
        .target(&format!("mqtt://127.0.0.1:{}", witness.port()))
        .set("mirror.inflight", INFLIGHT)
        .set("mirror.refusal_tries", 3)
        .set("mirror.halt_retry_ms", 500)
        .set("mirror.backoff_max_ms", 200);
    let gateway = InProcess::start(&setup).await;
    let terminals = pair(&[&gateway.client.public], &broker.url(), seed);
    let mut load = Load::start(&Plan {
        ingest: vec![orders_at(&gateway.client.private)],
        producers: 4,
        changes: 10,
        batch: 10,
        pace: Duration::from_millis(100),
        seed,
    });
    for spell in 1..=SPELLS {
        flow(&terminals, PATIENCE).await;
        broker.reload("acl", NOBODY_PUBLISHES_ORDERS);
        let reason = eventually("the module halts", PATIENCE, async || {
            let module = target_of(&gateway, "orders").await;
            module["halted"].as_str().map(str::to_owned)
        })
        .await;
        println!("{reason}");
        assert!(reason.contains("NotAuthorized"), "{reason}");
        let other = json!({"key": "k", "value": spell});
        let answer = gateway.client.post("/v1/modules/other/changes", &other);
        assert_eq!(answer.await.status, 202);
        eventually("the other module goes on", PATIENCE, async || {
            let module = target_of(&gateway, "other").await;
            (module["position"] == spell).then_some(())
        })
        .await;
        let accepted = load.acknowledged();
        for terminal in &terminals {
            terminal.reached(accepted, PATIENCE).await;
        }
        broker.reload("acl", OPEN);
        eventually("the halt is forgotten", PATIENCE, async || {
            let module = target_of(&gateway, "orders").await;
            module["halted"].is_null().then_some(())
        })
        .await;
    }
    flow(&terminals, PATIENCE).await;
    let reckoning = Reckoning::of(&mut load, &witness, &terminals).await;
    gateway.stop().await;
    let most = (reckoning.connections - 1) * INFLIGHT;
    reckoning
        .assert_exact(&database, &load, &terminals, most)
        .await;
}

/// How a module stands on its one target.
async fn target_of(gateway: &InProcess, module: &str) -> Value {
    let path = format!("/admin/v1/modules/{module}");
    gateway.client.get(&path).await.json()["targets"][0].clone()
}
