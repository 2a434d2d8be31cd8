//! A step forward is taken on evidence: what gates say is the same on every replica, a refusal lists what is missing, and who goes
//! on all the same is remembered for it.

use std::time::Duration;

use changeover::store::{Ago, Sighting, Told};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    store_conformance::{census_kept::pass, facts::trip},
    support::{
        database::DatabaseUnderTest,
        eventually,
        gateway::{Answer, Client, InProcess, MODULE, Setup, changeover},
        mosquitto::Mosquitto,
        targets,
    },
};

const SOON: Duration = Duration::from_mins(1);

crate::on_each_database!(
    a_broker_that_is_away_closes_the_gate_on_every_replica,
    what_is_forced_is_audited_and_shown_as_long_as_it_matters,
    nobody_forces_clients_to_where_nothing_is_sent,
    of_two_operators_one_goes,
    delivery_tools_read_the_body_or_the_status,
    gates_that_are_not_enforced_warn,
    clients_open_the_gates_to_sunset_and_to_retired,
    a_fleet_without_ids_closes_the_gate_to_sunset,
    without_a_census_nobody_is_known_to_be_gone,
    a_census_that_has_forgotten_everybody_knows_since_when,
    a_gate_that_cannot_be_read_stands_in_nobodys_way_back,
);

/// Gates that want little, and hear of things soon.
fn gated(database: &DatabaseUnderTest, instance: &str) -> Setup {
    targets::setup(database, instance)
        .unmoved()
        .set("mirror.settle_ms", 0)
        .set("gates.enforce", "true")
        .set("gates.facts_every_ms", 300)
        .set("gates.verified_messages", 5)
        .set("gates.verified_for", "1s")
        .set("gates.quiet_for", "0s")
}

async fn two(database: &DatabaseUnderTest, broker: &Mosquitto) -> [InProcess; 2] {
    let url = broker.url();
    let start = async |name| InProcess::start(&gated(database, name).target(&url)).await;
    [start("a").await, start("b").await]
}

async fn stop(replicas: [InProcess; 2]) {
    for replica in replicas {
        replica.stop().await;
    }
}

async fn act(client: &Client, act: &str, body: &Value) -> Answer {
    let path = format!("/admin/v1/modules/{MODULE}/{act}");
    client.post(&path, body).await
}

fn ramp() -> Value {
    json!({"percent": 10, "reason": "the pilot shop"})
}

fn forced() -> Value {
    json!({"percent": 10, "reason": "no time", "force": true})
}

async fn gate(client: &Client, body: &Value) -> Value {
    let answer = act(client, "gates", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()
}

/// What a gate says, without what passes by: how late and how old.
fn verdicts(gate: &Value) -> Vec<(String, Value, String)> {
    let of = |check: &Value| {
        let name = check["name"].as_str().unwrap().to_owned();
        let passing = name == "lag" || name == "verified-time";
        let measured = if passing {
            Value::Null
        } else {
            check["measured"].clone()
        };
        let verdict = check["verdict"].as_str().unwrap();
        (name, measured, verdict.to_owned())
    };
    gate["checks"].as_array().unwrap().iter().map(of).collect()
}

fn verdict<'a>(gate: &'a Value, name: &str) -> &'a str {
    let mut checks = gate["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["name"] == name);
    check.unwrap_or_else(|| panic!("no {name}: {gate}"))["verdict"]
        .as_str()
        .unwrap()
}

/// Waits until all replicas say this of a check.
async fn until(replicas: &[InProcess], name: &str, wanted: &str) {
    let what = format!("{name} is {wanted} everywhere");
    eventually(&what, SOON, async || {
        for replica in replicas {
            let gate = gate(&replica.client, &json!({"step": "ramp"})).await;
            if verdict(&gate, name) != wanted {
                return None;
            }
        }
        Some(())
    })
    .await;
}

async fn until_passed(client: &Client) {
    eventually("the gate passes", SOON, async || {
        let gate = gate(client, &json!({})).await;
        (gate["passed"] == true).then_some(())
    })
    .await;
}

async fn some_changes(client: &Client, count: usize) {
    let changes: Vec<_> = (0..count)
        .map(|n| json!({"key": format!("k{n}"), "value": n}))
        .collect();
    client.ingest(&json!(changes)).await;
}

async fn a_broker_that_is_away_closes_the_gate_on_every_replica(database: DatabaseUnderTest) {
    let mut broker = targets::broker();
    let replicas = two(&database, &broker).await;
    let [a, b] = [&replicas[0].client, &replicas[1].client];
    until(&replicas, "connected", "pass").await;
    some_changes(a, 4).await;
    until(&replicas, "verified-time", "pass").await;
    let early = gate(b, &json!({})).await;
    assert_eq!(
        verdict(&early, "verified-messages"),
        "not-enough-data",
        "{early}"
    );
    assert_eq!(
        (&early["passed"], &early["verdict"]),
        (&json!(false), &json!("not-enough-data"))
    );
    let refused = act(a, "ramp", &ramp()).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
    let said = refused.json();
    let detail = said["detail"].as_str().unwrap();
    assert!(
        detail.contains("verified-messages@local: not-enough-data (4 of 5"),
        "{detail}"
    );
    assert!(!detail.contains("connected@local"), "{detail}");

    some_changes(b, 1).await;
    until(&replicas, "verified-messages", "pass").await;
    let same = eventually("both say the same", SOON, async || {
        let [one, other] = [gate(a, &json!({})).await, gate(b, &json!({})).await];
        (verdicts(&one) == verdicts(&other)).then_some(one)
    })
    .await;
    assert_eq!(same["passed"], true, "{same}");
    let holders = [a.module().await, b.module().await].map(|m| m["lease_holder"].clone());
    assert_eq!(holders[0], holders[1], "one of the two does not mirror it");

    broker.stop();
    until(&replicas, "connected", "fail").await;
    for client in [a, b] {
        let refused = act(client, "ramp", &ramp()).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
        assert_eq!(refused.header("content-type"), "application/problem+json");
        let tried = act(client, "ramp?dry_run=true", &ramp()).await;
        let [refused, tried] = [refused.json(), tried.json()];
        assert_eq!(verdict(&refused["gate"], "connected"), "fail");
        assert_eq!(
            verdicts(&refused["gate"]),
            verdicts(&tried["gate"]),
            "a dry run says the same"
        );
        assert_eq!(tried["status"], 409);
        assert_eq!(client.module().await["stage_requested"], "mirror");
    }
    let (code, table) = gates_command(b, &["--output", "table"]).await;
    assert_eq!(code, 2, "{table}");
    assert!(
        table.contains("commission: mirror -> ramp: fail"),
        "{table}"
    );

    broker.restart();
    until(&replicas, "connected", "pass").await;
    until_passed(a).await;
    assert_eq!(gates_command(a, &[]).await.0, 0);
    let done = act(b, "ramp", &ramp()).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    let done = done.json();
    assert_eq!(done["gate"]["verdict"], "pass");
    assert_eq!(
        (&done["warnings"], &done["after"]["forced"]),
        (&json!([]), &Value::Null)
    );
    stop(replicas).await;
}

async fn gates_command(client: &Client, more: &[&str]) -> (i32, String) {
    let arguments = [&["module", "gates", MODULE], more].concat();
    let output = changeover(client, &arguments).await;
    let table = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), table)
}

async fn what_is_forced_is_audited_and_shown_as_long_as_it_matters(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let replicas = two(&database, &broker).await;
    let [a, b] = [&replicas[0].client, &replicas[1].client];
    until(&replicas, "connected", "pass").await;
    until(&replicas, "verified-time", "pass").await;
    assert_eq!(gates_command(a, &[]).await.0, 75, "try again later");
    let unreasoned = act(a, "ramp", &json!({"percent": 10, "force": true})).await;
    assert_eq!(unreasoned.status, StatusCode::BAD_REQUEST, "{unreasoned:?}");
    let stray = act(a, "pause", &json!({"reason": "r", "force": true})).await;
    assert_eq!(stray.status, StatusCode::BAD_REQUEST, "{stray:?}");

    let tried = act(a, "ramp?dry_run=true", &forced()).await.json();
    assert_eq!(
        tried["after"]["forced"]["checks"][0], "verified-messages@local",
        "{tried}"
    );
    assert_eq!(tried["after"]["forced"]["at"], Value::Null);
    assert_eq!(a.module().await["forced"], Value::Null);
    let force = [
        "ramp",
        MODULE,
        "--percent",
        "10",
        "--reason",
        "no time",
        "--force",
    ];
    let output = changeover(a, &[&["module"], &force[..]].concat()).await;
    assert!(output.status.success(), "{output:?}");
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    let warning = done["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("verified-messages@local: not-enough-data"),
        "{done}"
    );

    let is_shown = |shown: &Value| {
        let shown = &shown["forced"];
        shown["step"] == "ramp"
            && shown["by"] == "admin (for tester)"
            && shown["reason"] == "no time"
    };
    let shown = a.module().await;
    assert!(is_shown(&shown), "{shown}");
    assert_eq!(shown["forced"]["at"], shown["changed_at"]);
    eventually("it is shown elsewhere", SOON, async || {
        is_shown(&b.module().await).then_some(())
    })
    .await;
    let more = json!({"percent": 20, "reason": "more"});
    let more = act(b, "ramp", &more).await;
    assert_eq!(more.status, StatusCode::OK, "no gate at ramp: {more:?}");
    let said = more.json();
    assert!(
        said["warnings"][0]
            .as_str()
            .unwrap()
            .contains("verified-messages"),
        "{said}"
    );
    let shown = b.module().await;
    assert!(is_shown(&shown), "{shown}");
    assert_ne!(shown["forced"]["at"], shown["changed_at"]);
    let less = json!({"percent": 5, "reason": "less"});
    let said = act(b, "ramp", &less).await.json();
    assert_eq!(
        said["warnings"],
        json!([]),
        "the way back is nobody's question"
    );

    let history = b
        .get(&format!("/admin/v1/modules/{MODULE}/history"))
        .await
        .json();
    let entries = history["entries"].as_array().unwrap();
    let first = &entries.last().unwrap()["after"];
    assert_eq!(
        first["forced"]["checks"][0], "verified-messages@local",
        "{history}"
    );
    let back = act(a, "rollback", &json!({"reason": "back"})).await;
    assert_eq!(back.json()["after"]["forced"], Value::Null);
    assert_eq!(a.module().await["forced"], Value::Null);
    stop(replicas).await;
}

async fn nobody_forces_clients_to_where_nothing_is_sent(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let replica = InProcess::start(&gated(&database, "a").target(&broker.url())).await;
    let client = &replica.client;
    let reason = json!({"reason": "upgrade"});
    let paused = client.post("/admin/v1/targets/local/pause", &reason).await;
    assert_eq!(paused.status, StatusCode::OK, "{paused:?}");
    let said = gate(client, &json!({})).await;
    assert_eq!(verdict(&said, "targets"), "fail", "{said}");
    for body in [ramp(), forced()] {
        for how in ["ramp", "ramp?dry_run=true"] {
            let refused = act(client, how, &body).await;
            assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
            let said = refused.json();
            assert!(
                said["detail"]
                    .as_str()
                    .unwrap()
                    .contains("cannot be forced"),
                "{said}"
            );
        }
    }
    let resumed = client.post("/admin/v1/targets/local/resume", &reason).await;
    assert_eq!(resumed.status, StatusCode::OK, "{resumed:?}");
    let done = act(client, "ramp", &forced()).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    replica.stop().await;
}

async fn of_two_operators_one_goes(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let replicas = two(&database, &broker).await;
    let [a, b] = [&replicas[0].client, &replicas[1].client];
    let insist = async |client: &Client, body: Value| {
        let url = format!("{}/admin/v1/modules/{MODULE}/ramp", client.private);
        let request = client.http.post(url).header("If-Match", "\"0\"");
        client.send(request.json(&body)).await.status
    };
    let (one, other) = tokio::join!(insist(a, forced()), insist(b, forced()));
    let mut both = [one, other];
    both.sort_unstable();
    assert_eq!(both, [StatusCode::OK, StatusCode::PRECONDITION_FAILED]);
    let back = act(a, "rollback", &json!({"reason": "again"})).await;
    assert_eq!(back.status, StatusCode::OK, "{back:?}");

    let (careful, bold) = (ramp(), forced());
    let (careful, bold) = tokio::join!(act(a, "ramp", &careful), act(b, "ramp", &bold));
    assert_eq!(bold.status, StatusCode::OK, "{bold:?}");
    // Who asks after it was forced only changes the share.
    let late =
        careful.status == StatusCode::OK || careful.status == StatusCode::PRECONDITION_FAILED;
    assert!(
        late || careful.status == StatusCode::CONFLICT,
        "{careful:?}"
    );
    let record = eventually("both know", SOON, async || {
        let [one, other] = [a.module().await, b.module().await];
        (one["version"] == other["version"]).then_some(one)
    })
    .await;
    assert_eq!(record["forced"]["reason"], "no time", "{record}");
    stop(replicas).await;
}

async fn delivery_tools_read_the_body_or_the_status(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let replica = InProcess::start(&gated(&database, "a").target(&broker.url())).await;
    let client = &replica.client;
    until(std::slice::from_ref(&replica), "connected", "pass").await;
    let web_metric = gate(client, &json!({})).await;
    let members: Vec<_> = web_metric.as_object().unwrap().keys().cloned().collect();
    let expected = [
        "caveats", "checks", "enforced", "module", "passed", "stage", "step", "verdict",
    ];
    assert_eq!(members, expected, "{web_metric}");
    assert_eq!(web_metric["passed"], false);
    let check = &web_metric["checks"][0];
    let members: Vec<_> = check.as_object().unwrap().keys().cloned().collect();
    let expected = [
        "detail",
        "measured",
        "name",
        "sample",
        "target",
        "threshold",
        "unit",
        "verdict",
    ];
    assert_eq!(members, expected, "{check}");

    let flagger = json!({"name": "orders", "namespace": "shop", "phase": "Progressing",
        "checksum": "85d557f47b", "metadata": {"step": "ramp", "cmd": "x"}});
    let held = act(client, "gates?verdict=status", &flagger).await;
    assert_eq!(held.status, StatusCode::CONFLICT, "{held:?}");
    assert_eq!(held.json()["gate"]["step"], "ramp");
    some_changes(client, 5).await;
    until_passed(client).await;
    let free = act(client, "gates?verdict=status", &flagger).await;
    assert_eq!(free.status, StatusCode::OK, "{free:?}");
    assert_eq!(free.json()["passed"], true);

    let later = gate(client, &json!({"step": "sunset"})).await;
    assert_eq!(
        (&later["step"], &later["verdict"]),
        (&json!("sunset"), &json!("not-enough-data"))
    );
    for (query, body, status) in [
        ("gates", json!({"step": "mirror"}), StatusCode::CONFLICT),
        ("gates", json!({"step": "moon"}), StatusCode::BAD_REQUEST),
        ("gates", json!({"step": 1}), StatusCode::BAD_REQUEST),
        ("gates?verdict=maybe", json!({}), StatusCode::BAD_REQUEST),
        ("gates?dry_run=true", json!({}), StatusCode::BAD_REQUEST),
    ] {
        let refused = act(client, query, &body).await;
        assert_eq!(refused.status, status, "{query} {body}: {refused:?}");
    }
    let unknown = client
        .post("/admin/v1/modules/nothing/gates", &json!({}))
        .await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(
        client.module().await["version"],
        0,
        "asking changes nothing"
    );
    assert_eq!(client.module().await["gate"]["verdict"], "pass");
    replica.stop().await;
}

async fn gates_that_are_not_enforced_warn(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let setup = gated(&database, "a").set("gates.enforce", "false");
    let replica = InProcess::start(&setup.target(&broker.url())).await;
    let client = &replica.client;
    let done = act(client, "ramp", &ramp()).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    let done = done.json();
    let warnings = done["warnings"].to_string();
    assert!(
        warnings.contains("verified-messages@local: not-enough-data"),
        "{done}"
    );
    assert_eq!(
        done["after"]["forced"],
        Value::Null,
        "nothing was overridden"
    );
    assert_eq!(gate(client, &json!({})).await["enforced"], false);
    replica.stop().await;
}

/// A client that polls, or takes the push, and was first seen long ago.
fn seen(n: u32, polled: Option<Told>, pushed: bool) -> Sighting {
    const MINUTE: i64 = 60_000_000;
    Sighting {
        module: MODULE.parse().unwrap(),
        client_id: format!("t-{n:02}").into(),
        agent: "Terminal/1.0".into(),
        audience: None,
        address: None,
        first_seen: Ago::micros(60 * 24 * 60 * MINUTE),
        polled: polled.map(|told| (Ago::micros(MINUTE), told)),
        pushed: pushed.then(|| {
            let until = if polled.is_some() { 2 } else { -60 };
            (Ago::micros(3 * MINUTE), Ago::micros(until * MINUTE))
        }),
    }
}

async fn clients_open_the_gates_to_sunset_and_to_retired(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let replica = InProcess::start(&gated(&database, "a").target(&broker.url())).await;
    let client = &replica.client;
    let store = database.open().await;
    let step = async |body: Value| act(client, "promote", &body).await;
    let why = || json!({"reason": "on"});
    let until = async |name: &str, wanted: &str| {
        eventually(&format!("{name} is {wanted}"), SOON, async || {
            let gate = gate(client, &json!({})).await;
            (verdict(&gate, name) == wanted).then_some(gate)
        })
        .await
    };
    assert_eq!(act(client, "ramp", &forced()).await.status, StatusCode::OK);
    let said = gate(client, &json!({})).await;
    assert_eq!(said["step"], "sunset");
    assert_eq!(
        verdict(&said, "clients-on-push"),
        "not-enough-data",
        "{said}"
    );
    assert_eq!(step(why()).await.status, StatusCode::CONFLICT);

    let pushed = (0..10).map(|n| seen(n, None, true));
    store
        .note_clients(&pushed.collect::<Vec<_>>())
        .await
        .unwrap();
    until("clients-on-push", "pass").await;
    let back = [seen(10, Some(Told::PushForLong), true)];
    store.note_clients(&back).await.unwrap();
    let fallen = until("fell-back", "fail").await;
    assert_eq!(
        verdict(&fallen, "clients-on-push"),
        "fail",
        "10 of 11: {fallen}"
    );
    let refused = step(why()).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
    assert_eq!(
        step(json!({"reason": "on", "force": true})).await.status,
        StatusCode::OK
    );
    assert_eq!(client.module().await["forced"]["step"], "sunset");

    let end = |force: bool| json!({"reason": "off", "confirm": MODULE, "force": force});
    let still = step(end(false)).await;
    assert_eq!(still.status, StatusCode::CONFLICT, "{still:?}");
    let detail = still.json()["detail"].to_string();
    assert!(
        detail.contains("1 client has polled in the last 14days, at most 0: t-10"),
        "{detail}"
    );
    let listed = gate(client, &json!({})).await["checks"][0]["pollers"].clone();
    assert_eq!(listed["clients"], 1, "{listed}");
    assert_eq!(listed["by_client"][0]["client"], "t-10");
    assert_eq!(listed["by_agent"][0]["agent"], "Terminal/1.0");
    database
        .execute("DELETE FROM client_census WHERE client_id = 't-10'")
        .await;
    let known = until("pollers", "not-enough-data").await;
    let detail = known["checks"][0]["detail"].to_string();
    assert!(detail.contains("of 14days, in which 0 clients"), "{detail}");
    watched(&database, 15).await;
    until("pollers", "pass").await;
    let retired = step(end(false)).await;
    assert_eq!(retired.status, StatusCode::OK, "{retired:?}");
    assert_eq!(
        client.module().await["gate"],
        Value::Null,
        "there is nothing after it"
    );

    for _ in 0..2 {
        let back = act(client, "rollback", &json!({"reason": "back"})).await;
        assert_eq!(
            back.status,
            StatusCode::OK,
            "no gate on the way back: {back:?}"
        );
    }
    let tripped = gate(client, &json!({})).await;
    assert_eq!(verdict(&tripped, "guard-trips"), "pass", "{tripped}");
    trip(&database, MODULE, "guard-trip", i64::MAX / 2).await;
    let tripped = gate(client, &json!({})).await;
    assert_eq!(verdict(&tripped, "guard-trips"), "fail", "{tripped}");
    replica.stop().await;
}

/// Since so many days, and without a gap.
async fn watched(database: &DatabaseUnderTest, days: u32) {
    let micros = i64::from(days) * 86_400_000_000;
    let earlier = format!("UPDATE census_kept SET since = since - {micros}, remembered = 0");
    database.execute(&earlier).await;
}

async fn a_census_that_has_forgotten_everybody_knows_since_when(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let setup = gated(&database, "a").target(&broker.url());
    let setup = setup.set("census.flush", "100ms").set("census.gap", "1h");
    let replica = InProcess::start(&setup).await;
    let asked = json!({"step": "retired"});
    let until = async |client: &Client, wanted: &str| {
        eventually(&format!("it says {wanted}"), SOON, async || {
            let gate = gate(client, &asked).await;
            let detail = gate["checks"][0]["detail"].as_str().unwrap().to_owned();
            detail.contains(wanted).then_some(gate)
        })
        .await
    };
    let early = until(&replica.client, "is known for").await;
    assert_eq!(verdict(&early, "pollers"), "not-enough-data", "{early}");
    watched(&database, 14).await;
    let empty = until(&replica.client, "0 clients have polled in the last 14days").await;
    assert_eq!(verdict(&empty, "pollers"), "pass", "{empty}");
    replica.stop().await;
    let keepers = "SELECT instance FROM census_keeper";
    let left = database.text(keepers).await;
    assert_eq!(left, None, "it has ended in order");

    // A restart is no gap.
    pass(&database, Duration::from_mins(30)).await;
    let replica = InProcess::start(&setup).await;
    let still = until(&replica.client, "0 clients have polled in the last 14days").await;
    assert_eq!(verdict(&still, "pollers"), "pass", "{still}");
    replica.stop().await;
    pass(&database, Duration::from_hours(2)).await;
    let replica = InProcess::start(&setup).await;
    let anew = until(&replica.client, "is known for").await;
    assert_eq!(verdict(&anew, "pollers"), "not-enough-data", "{anew}");
    watched(&database, 15).await;
    until(&replica.client, "0 clients have polled in the last 14days").await;
    replica.stop().await;

    let replica = InProcess::start(&setup.clone().set("census.enabled", "false")).await;
    replica.stop().await;
    let replica = InProcess::start(&setup).await;
    let anew = until(&replica.client, "is known for").await;
    assert_eq!(verdict(&anew, "pollers"), "not-enough-data", "{anew}");
    replica.stop().await;
}

async fn a_fleet_without_ids_closes_the_gate_to_sunset(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let replica = InProcess::start(&gated(&database, "a").target(&broker.url())).await;
    let client = &replica.client;
    let store = database.open().await;
    assert_eq!(act(client, "ramp", &forced()).await.status, StatusCode::OK);
    let pushed = (0..100).map(|n| seen(n, None, true));
    let unnamed = Sighting {
        client_id: "".into(),
        ..seen(0, Some(Told::Poll), false)
    };
    let all: Vec<_> = pushed.chain([unnamed]).collect();
    store.note_clients(&all).await.unwrap();
    let said = eventually("the clients are counted", SOON, async || {
        let gate = gate(client, &json!({})).await;
        let checks = gate["checks"].as_array().unwrap().iter();
        let mut on_push = checks.filter(|check| check["name"] == "clients-on-push");
        let on_push = on_push.next().cloned();
        on_push.filter(|check| check["sample"] == 100)
    })
    .await;
    assert_eq!(said["measured"], 100.0, "{said}");
    assert_eq!(said["verdict"], "not-enough-data", "{said}");
    replica.stop().await;
}

async fn without_a_census_nobody_is_known_to_be_gone(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let store = database.store().await;
    let pushed: Vec<_> = (0..20).map(|n| seen(n, None, true)).collect();
    store.note_clients(&pushed).await.unwrap();
    let off = gated(&database, "a")
        .target(&broker.url())
        .set("census.enabled", "false")
        .set("census.keep", "90d");
    let replica = InProcess::start(&off).await;
    for (step, name) in [("sunset", "clients-on-push"), ("retired", "pollers")] {
        let said = gate(&replica.client, &json!({"step": step})).await;
        assert_eq!(verdict(&said, name), "not-enough-data", "{said}");
    }
    replica.stop().await;
}

async fn a_gate_that_cannot_be_read_stands_in_nobodys_way_back(database: DatabaseUnderTest) {
    let broker = targets::broker();
    let replica = InProcess::start(&gated(&database, "a").target(&broker.url())).await;
    let client = &replica.client;
    assert_eq!(act(client, "ramp", &forced()).await.status, StatusCode::OK);
    database.execute("DROP TABLE mirror_fact").await;
    let answer = act(client, "gates", &json!({"step": "ramp"})).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    for change in [
        json!({"exclude": ["client:t-01"], "reason": "it stands still"}),
        json!({"percent": 20, "reason": "more"}),
        json!({"percent": 5, "reason": "less"}),
    ] {
        let done = act(client, "ramp", &change).await;
        assert_eq!(done.status, StatusCode::OK, "{change}: {done:?}");
    }
    replica.stop().await;
}
