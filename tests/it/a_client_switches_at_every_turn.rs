//! The client's rule on real brokers: while changes are produced, its module is flipped from polls to push and back every few
//! messages, by the cohort, the stage or a panic, and a broker is killed now and then. `changeover watch`, which is that rule with a network, shows exactly the log: nothing lost, nothing twice, each
//! channel in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::support::{
    clients::Script,
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Client, InProcess, Setup},
    load::{Load, Plan, orders_at},
    logbook,
    native::numbered,
    servers_are_skipped,
    streams::change,
    targets::{broker, setup},
};

const PATIENCE: Duration = Duration::from_mins(1);

/// Flips of the module.
const FLIPS: u32 = 40;

const MODULES: &str = r#"
[[modules]]
name = "orders"
[modules.poll]
path     = "/orders"
cursor   = { in = "query", name = "since", kind = "token" }
audience = { in = "query", name = "uid" }
next_poll_ms = 200
[modules.poll.response]
body  = '{"changes":"$changes","cursor":"$cursor"}'
item  = '{"key":"$key"}'
error = '{"status":"$status"}'
"#;

#[tokio::test(flavor = "multi_thread")]
async fn on_mosquitto() {
    if servers_are_skipped() {
        return;
    }
    let mut broker = broker();
    let url = broker.url();
    switched(
        |setup| setup.target(&url),
        async |_, load| {
            broker.kill();
            load.reaches(load.acknowledged() + 10).await;
            broker.restart();
        },
    )
    .await;
}

/// The broker stays away for so long that the guard trips, if the client was pushed, and it returns when all is well again.
#[tokio::test(flavor = "multi_thread")]
async fn under_a_guard_that_trips() {
    if servers_are_skipped() {
        return;
    }
    let mut broker = broker();
    let url = broker.url();
    let mut trips = 0;
    switched(
        |setup| {
            setup
                .target(&url)
                .set("guard.away", "1s")
                .set("guard.lag", "1s")
                .set("guard.fall_back_over", "500ms")
                .set("guard.heal_after", "1s")
                .set("guard.return_over", "500ms")
        },
        async |client, load| {
            broker.kill();
            let tripped = eventually("the guard trips", PATIENCE, async || {
                let module = client.get("/admin/v1/modules/orders").await.json();
                let is_pushed = module["stage_requested"] == "ramp";
                let has_tripped = module["guard"][0]["state"] == "tripped";
                (!is_pushed || has_tripped).then_some(has_tripped)
            })
            .await;
            trips += u32::from(tripped);
            load.reaches(load.acknowledged() + 10).await;
            broker.restart();
        },
    )
    .await;
    assert!(trips > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_embedded_broker() {
    switched(|setup| setup, async |_, _| {}).await;
}

/// `trouble` comes now and then between two flips.
async fn switched(target: impl Fn(Setup) -> Setup, mut trouble: impl AsyncFnMut(&Client, &Load)) {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let database = Arc::new(DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap());
    let setup = setup(&database, "gw-1")
        .modules(MODULES)
        // A client that polls learns of a flip by its next session.
        .set("session.lifetime_ms", 1_000)
        .set("panic.spread", "300ms");
    let gateway = InProcess::start(&target(setup)).await;
    let client = &gateway.client;
    let watching = ["u1", "u2"].map(|audience| watch(client, audience));
    let mut load = Load::start(&Plan {
        ingest: vec![orders_at(&client.private)],
        producers: 2,
        changes: 500,
        batch: 2,
        pace: Duration::from_millis(20),
        seed,
    });
    let mut pushed = false;
    for n in 0..FLIPS {
        pushed = !pushed;
        flip(client, pushed, &mut rng).await;
        let more = rng.random_range(1..=30);
        if rng.random_bool(0.6) {
            for script in &watching {
                follows(script, pushed).await;
            }
        }
        if n == 0 {
            // Flips that follow each other fast may leave no change to the push.
            for script in &watching {
                receives(script).await;
            }
        }
        load.reaches(load.acknowledged() + more).await;
        // Once at least, and that while it is pushed.
        if n == 4 || rng.random_bool(0.15) {
            trouble(client, &load).await;
        }
    }
    let (accepted, _) = load.finish().await;
    numbered(client, "orders", accepted).await;
    let log = logbook::whole(&database).await;
    load.assert_is(&log);
    for (script, audience) in watching.iter().zip(["u1", "u2"]) {
        let mine = logbook::held(&log);
        let mine: BTreeMap<u64, (String, Value)> = mine
            .into_iter()
            .filter(|change| ["*", audience].contains(&change.audience.as_str()))
            .map(|change| {
                let value = serde_json::from_str(&change.value).unwrap();
                (change.position, (change.key, value))
            })
            .collect();
        let what = format!("{audience} has the last change");
        eventually(&what, PATIENCE, async || {
            let last = mine.last_key_value().map(|(position, _)| *position);
            let shown = changes(script).iter().map(position).max();
            (shown >= last).then_some(())
        })
        .await;
        // Whatever would come twice comes with the next switch.
        flip(client, !pushed, &mut rng).await;
        follows(script, !pushed).await;
        flip(client, pushed, &mut rng).await;
        follows(script, pushed).await;
        assert_is_the_log(script, &mine);
    }
    gateway.stop().await;
}

/// The program as the client of an audience, from the beginning of the log.
fn watch(client: &Client, audience: &str) -> Script {
    let client_id = format!("terminal-{audience}");
    let arguments = [
        "watch",
        "orders",
        "--url",
        &client.public,
        "--client-id",
        &client_id,
        "--audience",
        audience,
        "--from",
        "beginning",
    ];
    Script::of_program(env!("CARGO_BIN_EXE_changeover"), &arguments)
}

/// Tells every client to be pushed, or to poll: by the share of the cohort, by the stage, or by a panic.
async fn flip(client: &Client, pushed: bool, rng: &mut StdRng) {
    let orders = |act: &str| format!("/admin/v1/modules/orders/{act}");
    if pushed {
        let url = format!("{}/admin/v1/panic", client.private);
        let lift = json!({"module": "orders", "reason": "it is over"});
        // There may be none.
        client.send(client.http.delete(url).json(&lift)).await;
        let all = json!({"percent": 100, "reason": "a flip"});
        return act(client, &orders("ramp"), &all).await;
    }
    match rng.random_range(0..10) {
        0..3 => {
            let back = json!({"to": "mirror", "reason": "back"});
            act(client, &orders("rollback"), &back).await;
        }
        3..6 => {
            let panic = json!({"module": "orders", "reason": "a panic"});
            act(client, "/admin/v1/panic", &panic).await;
        }
        _ => {
            let nobody = json!({"percent": 0, "reason": "a flip"});
            act(client, &orders("ramp"), &nobody).await;
        }
    }
}

async fn act(client: &Client, path: &str, body: &Value) {
    let answer = client.post(path, body).await;
    assert!(answer.status.is_success(), "{answer:?}");
}

/// Waits until the client does as it is told.
async fn follows(script: &Script, pushed: bool) {
    let word = if pushed { "live" } else { "polling" };
    let what = format!("the client is {word}");
    script
        .until(&what, PATIENCE, |lines| {
            let mut ways = lines.iter().rev().map(|line| &line["way"]);
            ways.find(|way| way.is_string())
                .is_some_and(|way| way == word)
        })
        .await;
}

/// Waits until a change has come by push.
async fn receives(script: &Script) {
    script
        .until("a change comes by push", PATIENCE, |lines| {
            changes_of(lines).any(|line| line["by"] == "push")
        })
        .await;
}

fn changes(script: &Script) -> Vec<Value> {
    changes_of(&script.lines()).cloned().collect()
}

fn position(line: &Value) -> u64 {
    line["position"].as_u64().unwrap()
}

fn assert_is_the_log(script: &Script, mine: &BTreeMap<u64, (String, Value)>) {
    let (mut shown, mut lasts, mut ways) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let changes = changes(script);
    for line in &changes {
        let position = position(line);
        let what = (
            line["key"].as_str().unwrap().to_owned(),
            line["value"].clone(),
        );
        assert_eq!(shown.insert(position, what), None, "twice: {line}");
        let audience = line["audience"].as_str().unwrap().to_owned();
        let last = lasts.insert(audience, position);
        assert!(last < Some(position), "after {last:?}: {line}");
        ways.insert(line["by"].as_str().unwrap().to_owned());
    }
    assert_eq!(&shown, mine);
    let by = |word: &str| changes.iter().filter(|line| line["by"] == word).count();
    println!("{} by push, {} by reads", by("push"), by("read"));
    assert!(ways.contains("push") && ways.contains("read"), "{ways:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_too_far_behind_takes_the_state_and_goes_on() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "gw-1")
        .modules(MODULES)
        .set("native.page_changes", 10)
        .set("session.lifetime_ms", 1_000);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let changes: Vec<_> = (0..25).map(|n| change(&format!("k{n}"), "u1")).collect();
    ingest(client, &json!(changes)).await;
    numbered(client, "orders", 25).await;
    flip(client, true, &mut StdRng::seed_from_u64(0)).await;
    for from in ["state", "00000001_00000000000f4240"] {
        let arguments = ["watch", "orders", "--audience", "u1", "--from", from];
        let arguments = [&arguments[..], &["--url", &client.public]].concat();
        let script = Script::of_program(env!("CARGO_BIN_EXE_changeover"), &arguments);
        follows(&script, true).await;
        let lines = script.lines();
        let forgets = lines.iter().position(|line| line["forget"] == true);
        let state = lines.iter().position(|line| line["by"] == "state");
        assert!(forgets.is_some() && forgets < state, "{lines:?}");
        let shown: Vec<_> = changes_of(&lines).map(|line| line["key"].clone()).collect();
        let keys: Vec<_> = (0..25).map(|n| json!(format!("k{n}"))).collect();
        assert_eq!(shown[..25], keys, "{from}");
        ingest(client, &json!(change("new", "u1"))).await;
        script
            .until("the next change is pushed", PATIENCE, |lines| {
                let last = changes_of(lines).last().unwrap();
                last["key"] == "new" && last["by"] == "push"
            })
            .await;
        ingest(
            client,
            &json!({"key": "new", "audience": "u1", "op": "delete"}),
        )
        .await;
        script
            .until("it is deleted", PATIENCE, |lines| {
                let last = changes_of(lines).last().unwrap();
                last["op"] == "delete" && last["value"].is_null()
            })
            .await;
    }
    gateway.stop().await;
}

async fn ingest(client: &Client, body: &Value) {
    let answer = client.post("/v1/modules/orders/changes", body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

fn changes_of(lines: &[Value]) -> impl Iterator<Item = &Value> {
    lines.iter().filter(|line| !line["position"].is_null())
}
