//! Clients on push hear of a panic from the retained message, ask for the session, and come back to polling evenly over
//! `panic.spread`; when it is lifted they hear that too.

use std::time::{Duration, Instant};

use changeover::config::mqtt::Protocol;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    follower::Follower,
    gateway::{Client, InProcess, MODULE, Setup, changeover},
    mosquitto::Mosquitto,
    servers_are_skipped,
};

const SEED: u64 = 20_261_123;
const CLIENTS: usize = 2_000;
/// So long that the test itself takes no part of it that matters.
const SPREAD_S: u64 = 3_600;
const BASE_MS: u64 = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_retained_message_within_a_second() {
    if servers_are_skipped() {
        return;
    }
    let broker = Mosquitto::start();
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "a").target(&broker.url());
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    act(
        client,
        &[
            "module",
            "ramp",
            MODULE,
            "--percent",
            "100",
            "--reason",
            "all",
        ],
    )
    .await;
    let topic = format!("changeover/m/{MODULE}");
    let terminal = Follower::start(&broker.url(), Protocol::V5, "terminal", &[&topic]);
    terminal
        .wait("the ramp", |seen| {
            last(seen.bookmarks.last()) == ("ramp", "ramp", "cohort")
        })
        .await;
    let before = terminal.record().bookmarks.last().unwrap()["version"].clone();

    for round in 1..=2 {
        act(client, &["panic", "--reason", "messages are lost"]).await;
        let answered = Instant::now();
        terminal
            .wait("the panic", |seen| {
                last(seen.bookmarks.last()) == ("ramp", "mirror", "panic")
            })
            .await;
        let took = answered.elapsed();
        println!("the panic of round {round} was heard after {took:?}");
        let late = Follower::start(
            &broker.url(),
            Protocol::V5,
            &format!("late-{round}"),
            &[&topic],
        );
        late.wait("the retained message", |seen| !seen.bookmarks.is_empty())
            .await;
        let shown = late.record().bookmarks[0].clone();
        assert_eq!(last(Some(&shown)), ("ramp", "mirror", "panic"));
        assert!(took < Duration::from_secs(3), "{took:?}");
        act(client, &["panic", "--lift", "--reason", "no more"]).await;
        terminal
            .wait("its end", |seen| last(seen.bookmarks.last()).1 == "ramp")
            .await;
    }
    let versions: Vec<_> = terminal
        .record()
        .bookmarks
        .iter()
        .map(|mark| mark["version"].as_i64().unwrap())
        .collect();
    let mut flips = versions.clone();
    flips.dedup();
    let flips: Vec<_> = flips
        .into_iter()
        .skip_while(|version| json!(version) != before)
        .collect();
    let first = before.as_i64().unwrap();
    assert_eq!(
        flips,
        (first..=first + 4).collect::<Vec<_>>(),
        "each flip is a new version: {versions:?}"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn their_polls_arrive_evenly() {
    println!("seed {SEED}");
    let mut chance = StdRng::seed_from_u64(SEED);
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "a").set("panic.spread", format!("{SPREAD_S}s"));
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    act(
        client,
        &[
            "module",
            "ramp",
            MODULE,
            "--percent",
            "60",
            "--reason",
            "most",
        ],
    )
    .await;
    let ids: Vec<_> = (0..CLIENTS)
        .map(|_| format!("terminal-{:08x}", chance.random::<u32>()))
        .collect();
    let mut pushed = Vec::new();
    for id in &ids {
        let (transport, next) = poll(client, id).await;
        assert_eq!(next, BASE_MS);
        pushed.push(transport == "push");
    }
    act(client, &["panic", "--reason", "messages are lost"]).await;
    let mut waits = Vec::new();
    for (id, pushed) in ids.iter().zip(&pushed) {
        let (transport, next) = poll(client, id).await;
        assert_eq!(transport, "poll");
        if *pushed {
            waits.push((id, next - BASE_MS));
        } else {
            assert_eq!(next, BASE_MS, "who polled anyway is not spread");
        }
    }
    let mut tenths = [0_usize; 10];
    for (_, wait) in &waits {
        tenths[usize::try_from(wait * 10 / (SPREAD_S * 1_000)).unwrap()] += 1;
    }
    println!("{tenths:?}");
    let expected = waits.len() / 10;
    for tenth in tenths {
        assert!(
            (expected * 6 / 10..=expected * 14 / 10).contains(&tenth),
            "{tenths:?}"
        );
    }

    // The session tells each client the same time, and asks it to come again then.
    for (id, wait) in waits.iter().take(100) {
        let url = format!("{}/v1/session", client.public);
        let session = client
            .send(client.http.post(url).json(&json!({"client_id": id})))
            .await
            .json();
        let module = &session["modules"][MODULE];
        assert_eq!(
            (&module["transport"], &module["reason"]),
            (&json!("poll"), &json!("panic"))
        );
        let told = module["next_poll_ms"].as_u64().unwrap();
        let poll = wait + BASE_MS;
        assert!(told <= poll && told + 300_000 > poll, "{told} {poll}");
        if told > BASE_MS {
            assert!(session["next_session_ms"].as_u64().unwrap() <= told);
        }
    }
    gateway.stop().await;
}

/// What a client is told: its transport, and when to come again.
async fn poll(client: &Client, id: &str) -> (String, u64) {
    let url = format!("{}/api/commission/list?since=0", client.public);
    let answer = client
        .send(client.http.get(url).header("X-Terminal", id))
        .await;
    let next = answer.header("changeover-next-poll-ms");
    let next = if next.is_empty() {
        BASE_MS
    } else {
        next.parse().unwrap()
    };
    (answer.header("changeover-transport").to_owned(), next)
}

async fn act(client: &Client, arguments: &[&str]) {
    let output = changeover(client, arguments).await;
    assert!(output.status.success(), "{output:?}");
}

/// Requested and effective stage, and the reason, of a retained message.
fn last(message: Option<&Value>) -> (&str, &str, &str) {
    let text = |member| {
        message
            .and_then(|message| message[member].as_str())
            .unwrap_or_default()
    };
    (
        text("stage_requested"),
        text("stage_effective"),
        text("reason"),
    )
}
