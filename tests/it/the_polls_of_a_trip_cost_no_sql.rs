//! Everybody is on push when a guard trips: 5,000 clients ask for their session and poll, and all of it is answered from memory.

use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Client, MODULE, Program},
    guarded::{PATIENCE, guard, last_to_return, ramp, setup, statements, told},
    servers_are_skipped,
    targets::{broker, target},
};

const CLIENTS: usize = 5_000;
const AT_ONCE: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_five_thousand_clients() {
    if servers_are_skipped() {
        return;
    }
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let mut broker = broker();
    let setup = setup(&database, "a").add(&target("one", &broker, ""));
    // In a process of its own: the tests of this one share their counters.
    let mut gateway = Program::start(&setup).await;
    let client = &gateway.client.clone();
    let changes: Vec<_> = (0..50)
        .map(|n| json!({"key": n.to_string(), "value": n}))
        .collect();
    client.ingest(&json!(changes)).await;
    client.items(0, 50, PATIENCE).await;
    ramp(client).await;
    told(client, &last_to_return(), "push", "cohort").await;
    broker.kill();
    eventually("all have fallen back", PATIENCE, async || {
        (guard(client, "one").await["pushed_percent"] == 0.0).then_some(())
    })
    .await;
    let before = statements(client).await;
    let mut clients = tokio::task::JoinSet::new();
    for part in 0..AT_ONCE {
        let client = client.clone();
        clients.spawn(async move {
            for n in (part..CLIENTS).step_by(AT_ONCE) {
                comes_back(&client, &format!("terminal-{n}"), n as u64 % 50).await;
            }
        });
    }
    clients.join_all().await;
    assert_eq!(statements(client).await, before, "statements for polls");
    assert_eq!(gateway.terminate().await.0, 0);
}

async fn comes_back(client: &Client, id: &str, since: u64) {
    let url = format!("{}/v1/session", client.public);
    let request = client.http.post(url).json(&json!({"client_id": id}));
    let session = client.send(request).await.json();
    let told = &session["modules"][MODULE];
    assert_eq!(
        (&told["transport"], &told["reason"]),
        (&json!("poll"), &json!("guard"))
    );
    let url = format!("{}/api/commission/list?since={since}", client.public);
    let poll = client
        .send(client.http.get(url).header("X-Terminal", id))
        .await;
    assert_eq!(poll.status, 200, "{poll:?}");
    assert_eq!(poll.header("changeover-transport"), "poll");
    assert_eq!(
        poll.json()["list"].as_array().unwrap().len() as u64,
        50 - since
    );
}
