//! Everybody is on push when their broker dies. They poll, no faster than what is configured makes them poll, before as after they hear
//! that a guard has tripped, without an error and from memory; and once the broker is back and all has been well they return over
//! `guard.return_over`, in no span more of them than their share.

use std::time::Duration;

use changeover::client::Way;
use serde_json::json;

use crate::support::{
    crowd::{Crowd, Door, assert_no_crowd},
    database::{DatabaseUnderTest, Kind},
    gateway::{Client, MODULE, Program},
    guarded::{PATIENCE, guard, ramp, setup, statements, turns, until},
    servers_are_skipped,
    targets::{broker, target},
};

const SEED: u64 = 20_261_125;
const CLIENTS: u64 = 5_000;
/// `next_poll_ms`, far below `guard.return_over`, so that the polls do not spread the return.
const INTERVAL: Duration = Duration::from_secs(15);
const RETURN_OVER: Duration = Duration::from_mins(1);
const SPAN: Duration = Duration::from_secs(1);
/// Of returns: clients hear of their own only with a poll.
const RETURN_SPAN: Duration = Duration::from_secs(6);
/// All of it takes two minutes where nothing else runs.
const LONG: Duration = Duration::from_mins(5);

const MODULES: &str = r#"
[[modules]]
name = "commission"
[modules.poll]
path     = "/api/commission/list"
cursor   = { in = "query", name = "since", kind = "position" }
client   = { in = "header", name = "X-Terminal" }
next_poll_ms = 15_000
[modules.poll.response]
body  = '{"list":"$changes","since":"$cursor","more":"$has_more"}'
item  = '{"key":"$key","op":"$op","seq":"$position","previous":"$previous","audience":"$audience","body":"$value"}'
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_return_each_at_its_time() {
    if servers_are_skipped() {
        return;
    }
    println!("seed {SEED}");
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let mut broker = broker();
    let setup = setup(&database, "a")
        .modules(MODULES)
        .set("guard.fall_back_over", "5s")
        .set("guard.heal_after", "5s")
        .set("guard.return_over", "1m")
        .add(&target("one", &broker, ""));
    let mut gateway = Program::start(&setup).await;
    let client = &gateway.client.clone();
    let mut crowd = on_push(client).await;

    let (sql, began) = (statements(client).await, crowd.now);
    broker.kill();
    crowd.lose_the_broker(Door::Gone).await;
    let polling = async |crowd: &Crowd| crowd.on(Way::Polling) == crowd.len();
    crowd
        .live_until("all have heard of the guard", LONG, polling)
        .await;
    let tripped = until(client, "one", "tripped", Some("disconnected")).await;
    assert_eq!(tripped["pushed_percent"], 0.0);
    let arrivals = crowd.arrivals(began, SPAN);
    assert_no_crowd("first polls", &arrivals, part(SPAN, INTERVAL));

    broker.restart();
    crowd.find_the_broker();
    let back = async |crowd: &Crowd| crowd.on(Way::Live) == crowd.len();
    crowd.live_until("all are back on push", LONG, back).await;
    // Nobody has polled more often than it was told to, so no more polls than that have come in any second.
    let shortest = crowd.shortest_interval();
    assert!(shortest >= INTERVAL, "{shortest:?}");
    // Who polls late finds that more than then have returned.
    let late = crowd.late();
    println!("the machine was {late:?} late");
    let share =
        part(RETURN_SPAN, RETURN_OVER) * (1.0 + late.as_secs_f64() / INTERVAL.as_secs_f64());
    assert_no_crowd("returns", &crowd.returns(RETURN_SPAN), share);
    assert_eq!(statements(client).await, sql, "answered from memory");
    until(client, "one", "watching", None).await;
    assert_eq!(guard(client, "one").await["pushed_percent"], 100.0);
    let acts: Vec<_> = turns(client).await.into_iter().map(|turn| turn.0).collect();
    assert_eq!(acts, ["guard-trip", "guard-heal"]);
    assert_eq!(gateway.terminate().await.0, 0);
}

async fn on_push(client: &Client) -> Crowd {
    let change = |n: u64| json!({"key": format!("k{n}"), "value": n});
    let changes: Vec<_> = (0..10).map(change).collect();
    client.ingest(&json!(changes)).await;
    client.items(0, 10, PATIENCE).await;
    ramp(client).await;
    let mut crowd = Crowd::new(&client.public, MODULE, CLIENTS, SEED);
    crowd
        .live(Duration::from_secs(5), Duration::from_millis(100))
        .await;
    assert_eq!(crowd.on(Way::Live), crowd.len());
    crowd
}

/// How many of all are the part of a span, of those who are spread over so long.
fn part(span: Duration, over: Duration) -> f64 {
    f64::from(u32::try_from(CLIENTS).unwrap()) * span.as_secs_f64() / over.as_secs_f64()
}
