//! The gates to sunset and to retired: what the census says of clients opens them, and only as far as it reaches back.

use std::time::Duration;

use changeover::store::{Ago, Sighting, Told};
use http::StatusCode;
use serde_json::{Value, json};

use super::{SOON, act, forced, gate, gated, verdict};
use crate::{
    store_conformance::{census_kept::pass, facts::trip},
    support::{
        database::DatabaseUnderTest,
        eventually,
        gateway::{Client, InProcess, MODULE},
        targets,
    },
};

crate::on_each_database!(
    clients_open_the_gates_to_sunset_and_to_retired,
    a_fleet_without_ids_closes_the_gate_to_sunset,
    without_a_census_nobody_is_known_to_be_gone,
    a_census_that_has_forgotten_everybody_knows_since_when,
);

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

/// Since so many days, and without a gap.
async fn watched(database: &DatabaseUnderTest, days: u32) {
    let micros = i64::from(days) * 86_400_000_000;
    let earlier = format!("UPDATE census_kept SET since = since - {micros}, remembered = 0");
    database.execute(&earlier).await;
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
