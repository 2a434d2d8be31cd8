//! The header of a poll, `$transport` in its body, a session, and a flag alone and among all: whatever the ladder, the routes and the
//! targets say, they tell a client the same. And a flip reaches every kind of client.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use changeover::config::mqtt::Protocol;
use http::StatusCode;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    follower::Follower,
    gateway::{Answer, Client, InProcess, Setup, changeover},
    guarded,
};

const MODULES: [&str; 3] = ["commission", "orders", "prices"];
const ROUNDS: u32 = 40;
const PATIENCE: Duration = Duration::from_mins(1);

/// Polls whose clients learn it from a header, or from their own template.
fn polls() -> String {
    let module = |name: &&str| {
        format!(
            r#"
[[modules]]
name = "{name}"
[modules.poll]
path   = "/poll/{name}"
cursor = {{ in = "query", name = "since", kind = "position" }}
client = {{ in = "header", name = "X-Terminal" }}
[modules.poll.response]
body  = '{{"list":"$changes","since":"$cursor","how":"$transport"}}'
error = '{{"code":"$status"}}'
"#
        )
    };
    MODULES.iter().map(module).collect()
}

/// What one of them was told of one module.
type Told = (String, Option<String>);

async fn ask(client: &Client, path: &str, body: &Value) -> Value {
    let url = format!("{}{path}", client.public);
    let answer = client.send(client.http.post(url).json(body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}

fn of_flag(flag: &Value) -> Told {
    assert_eq!(flag["value"], flag["variant"]);
    let target = flag["metadata"].get("target").map(text);
    (text(&flag["value"]), target)
}

async fn poll(client: &Client, module: &str, id: &str) -> Answer {
    let url = format!("{}/poll/{module}?since=0", client.public);
    let request = client.http.get(url).header("X-Terminal", id);
    client.send(request).await
}

/// All that a client is told of all modules. They must agree.
async fn told(client: &Client, id: &str) -> Vec<Told> {
    let session = ask(client, "/v1/session", &json!({"client_id": id})).await;
    let context = json!({"context": {"targetingKey": id, "more": {"is": ["passed over"]}}});
    let all = ask(client, "/ofrep/v1/evaluate/flags", &context).await;
    let all = all["flags"].as_array().unwrap().clone();
    assert_eq!(all.len(), MODULES.len());
    let mut told = Vec::new();
    for (module, flag) in MODULES.iter().zip(&all) {
        let key = format!("module.{module}");
        assert_eq!(flag["key"], key.as_str());
        let path = format!("/ofrep/v1/evaluate/flags/{key}");
        assert_eq!(ask(client, &path, &context).await, *flag);
        let of_session = &session["modules"][module];
        let target = of_session["target"].as_str().map(str::to_owned);
        let by_session = (text(&of_session["transport"]), target);
        assert_eq!(by_session, of_flag(flag), "{id}: {of_session} {flag}");
        assert_eq!(of_session["reason"], flag["metadata"]["reason"], "{id}");
        let polled = poll(client, module, id).await;
        assert_eq!(polled.header("changeover-transport"), by_session.0, "{id}");
        assert_eq!(polled.header("changeover-stage"), flag["metadata"]["stage"]);
        if polled.status == StatusCode::OK {
            assert_eq!(polled.json()["how"], by_session.0.as_str(), "{id}");
        } else {
            assert_eq!(flag["metadata"]["stage"], "retired");
        }
        told.push(by_session);
    }
    told
}

/// An act of any kind; whether it is allowed now is not the question here.
async fn act(client: &Client, rng: &mut StdRng) {
    let module = MODULES.choose(rng).unwrap();
    let target = ["old", "new"].choose(rng).unwrap();
    let percent = f64::from(rng.random_range(0..=1_000_u16)) / 10.0;
    let (path, body) = match rng.random_range(0..8) {
        0 => (format!("modules/{module}/promote"), json!({})),
        1 => (format!("modules/{module}/rollback"), json!({})),
        2 => (
            format!("modules/{module}/route"),
            json!({"target": target, "percent": percent}),
        ),
        3 => (format!("targets/{target}/pause"), json!({})),
        4 | 5 => (format!("targets/{target}/resume"), json!({})),
        _ => (
            format!("modules/{module}/ramp"),
            json!({"percent": percent}),
        ),
    };
    let mut body = body;
    body["reason"] = json!("random");
    let answer = client.post(&format!("/admin/v1/{path}"), &body).await;
    let known = [StatusCode::OK, StatusCode::CONFLICT];
    assert!(known.contains(&answer.status), "{path} {body}: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    // Both are away: what is told does not depend on that.
    let targets = [("old", 1), ("new", 2)].map(|(name, port)| {
        format!("\n[[mqtt.targets]]\nname = \"{name}\"\nurl = \"mqtt://127.0.0.1:{port}\"\n")
    });
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "a")
        .modules(&polls())
        .set("guard.enabled", false)
        .add(&targets.concat());
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let mut transports = BTreeSet::new();
    for round in 0..ROUNDS {
        // So that no seed misses what the rules are about.
        if round == 0 {
            let all = json!({"percent": 50, "reason": "half"});
            let answer = client.post("/admin/v1/modules/orders/ramp", &all).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        } else {
            act(client, &mut rng).await;
        }
        for _ in 0..6 {
            let id = format!("terminal {}", rng.random::<u32>());
            transports.extend(told(client, &id).await.into_iter().map(|(how, _)| how));
        }
    }
    assert_eq!(transports.len(), 2, "both were told: {transports:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_rests_sends_its_clients_back_to_polling() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "a")
        .modules(&polls())
        .set("guard.enabled", false)
        .target("mqtt://127.0.0.1:1");
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let act = async |path: &str, percent: Option<u8>| {
        let mut body = json!({"reason": "r"});
        if let Some(percent) = percent {
            body["percent"] = json!(percent);
        }
        let answer = client.post(&format!("/admin/v1/{path}"), &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    };
    act("modules/commission/ramp", Some(100)).await;
    let first = async || told(client, "t").await.remove(0);
    let local = Some("local".to_owned());
    assert_eq!(first().await, ("push".to_owned(), local.clone()));
    act("targets/local/pause", None).await;
    assert_eq!(first().await, ("poll".to_owned(), None));
    act("targets/local/resume", None).await;
    assert_eq!(first().await, ("push".to_owned(), local));
    gateway.stop().await;
}

/// With the embedded broker: a client on push hears of a flip by the retained message, one that polls by its next answer.
#[cfg(feature = "embedded-broker")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flip_reaches_every_kind_of_client() {
    use crate::support::gateway::Program;

    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = Program::start(&Setup::new(&database, "a").modules(&polls())).await;
    let url = gateway.mqtt.clone().unwrap();
    let filters = ["changeover/m/commission"];
    let pushed = Follower::start(&url, Protocol::V5, "pushed", &filters);
    let marked = |stage: &'static str, version: i64| {
        let is = move |mark: &Value| {
            mark["stage_effective"] == stage
                && mark["stage_requested"] == stage
                && mark["version"] == version
        };
        let pushed = &pushed;
        async move {
            eventually("the retained message", PATIENCE, async || {
                let told = pushed.look(|record| record.bookmarks.last().is_some_and(is));
                told.then_some(())
            })
            .await;
        }
    };
    marked("mirror", 0).await;
    let client = &gateway.client;
    for (arguments, how, stage, version) in [
        (
            vec!["ramp", "commission", "--percent", "100"],
            "push",
            "ramp",
            1,
        ),
        (vec!["rollback", "commission"], "poll", "mirror", 2),
    ] {
        let begun = Instant::now();
        let arguments = [&["module"], &arguments[..], &["--reason", "r"]].concat();
        let output = changeover(client, &arguments).await;
        assert!(output.status.success(), "{output:?}");
        let answer = poll(client, "commission", "t").await;
        assert_eq!(answer.header("changeover-transport"), how);
        assert_eq!(answer.json()["how"], how);
        assert_eq!(told(client, "t").await[0].0, how);
        marked(stage, version).await;
        println!("told by the retained message after {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_sends_its_clients_back_to_polling() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = guarded::setup(&database, "a")
        .modules(&polls())
        .target("mqtt://127.0.0.1:1");
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    for module in MODULES {
        let path = format!("/admin/v1/modules/{module}/ramp");
        let body = json!({"percent": 100, "reason": "all"});
        let answer = client.post(&path, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    eventually("all have fallen back", guarded::PATIENCE, async || {
        let all = client.get("/admin/v1/modules").await.json();
        let modules = all["modules"].as_array().unwrap();
        let has = |module: &Value| module["guard"][0]["pushed_percent"] == 0.0;
        modules.iter().all(has).then_some(())
    })
    .await;
    for n in 0..20 {
        for (how, target) in told(client, &format!("terminal {n}")).await {
            assert_eq!((&*how, target.as_deref()), ("poll", Some("local")));
        }
    }
    gateway.stop().await;
}
