//! Three gateways on one database, and engineers that act on all of them: what one has answered, none contradicts for long, and none
//! goes back to what it has left.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http::StatusCode;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    database::DatabaseUnderTest,
    eventually,
    gateway::{Client, InProcess, MODULE, Setup},
};

const FLIPS: usize = 25;
/// What is promised.
const PROMISE: Duration = Duration::from_secs(1);
/// What a busy machine may add.
const BUSY: Duration = Duration::from_secs(2);

crate::on_each_database!(none_contradicts_another_for_long);

/// Something that a replica has answered.
#[derive(Debug, Clone, Copy)]
struct Said {
    /// When it was asked.
    at: Instant,
    version: i64,
}

async fn none_contradicts_another_for_long(database: DatabaseUnderTest) {
    let seed = rand::random();
    println!("seed {seed}");
    let mut gateways = Vec::new();
    for name in ["a", "b", "c"] {
        gateways.push(InProcess::start(&Setup::new(&database, name).among_others()).await);
    }
    let over = Arc::new(AtomicBool::new(false));
    let mut askers = JoinSet::new();
    for (index, gateway) in gateways.iter().enumerate() {
        let (client, over) = (gateway.client.clone(), Arc::clone(&over));
        askers.spawn(async move { (index, ask_until(&client, &over).await) });
    }

    let acts = act_here_and_there(&gateways, seed).await;
    let last = acts[acts.len() - 1].version;
    for gateway in &gateways {
        eventually("the last act is everywhere", PROMISE + BUSY, async || {
            (version(&gateway.client).await >= last).then_some(())
        })
        .await;
    }
    over.store(true, Relaxed);
    let mut worst = Duration::ZERO;
    while let Some(answers) = askers.join_next().await {
        let (index, answers) = answers.unwrap();
        assert!(
            answers
                .windows(2)
                .all(|two| two[0].version <= two[1].version),
            "{index} went back"
        );
        for act in &acts {
            let late = answers
                .iter()
                .filter(|said| said.at > act.at && said.version < act.version);
            let late = late.map(|said| said.at - act.at).max();
            worst = worst.max(late.unwrap_or_default());
        }
        println!("{} answers of {index}", answers.len());
    }
    println!(
        "{} acts; a replica contradicted another for {worst:?} at most",
        acts.len()
    );
    assert!(worst < PROMISE + BUSY, "{worst:?}");
    for gateway in gateways {
        gateway.stop().await;
    }
}

/// The acts that were done: when each was answered, and what the replica said from then on.
async fn act_here_and_there(gateways: &[InProcess], seed: u64) -> Vec<Said> {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut acts = Vec::new();
    while acts.len() < FLIPS {
        let here = &gateways.choose(&mut chance).unwrap().client;
        let percent = chance.random_range(0..=100);
        let steps = [
            ("ramp", json!({"percent": percent})),
            ("promote", json!({})),
            ("rollback", json!({})),
            ("panic", json!({})),
            ("lift", json!({})),
        ];
        let (step, body) = steps.choose(&mut chance).unwrap();
        let mut body = body.clone();
        body["reason"] = json!("r");
        let answer = match *step {
            "panic" => here.post("/admin/v1/panic", &body).await.status,
            "lift" => lift(here, &body).await,
            step => {
                let path = format!("/admin/v1/modules/{MODULE}/{step}");
                here.post(&path, &body).await.status
            }
        };
        if answer != StatusCode::OK {
            // Not from where the module is.
            continue;
        }
        let at = Instant::now();
        let version = version(here).await;
        acts.push(Said { at, version });
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..400))).await;
    }
    acts
}

async fn lift(client: &Client, body: &Value) -> StatusCode {
    let url = format!("{}/admin/v1/panic", client.private);
    client.send(client.http.delete(url).json(body)).await.status
}

async fn ask_until(client: &Client, over: &AtomicBool) -> Vec<Said> {
    let mut answers = Vec::new();
    while !over.load(Relaxed) {
        let at = Instant::now();
        let version = version(client).await;
        answers.push(Said { at, version });
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    answers
}

/// What clients know the flags by.
async fn version(client: &Client) -> i64 {
    let url = format!("{}/v1/session", client.public);
    let body = json!({"client_id": "t", "modules": [MODULE]});
    let answer = client.send(client.http.post(url).json(&body)).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.json()["modules"][MODULE]["version"]
        .as_i64()
        .unwrap()
}
