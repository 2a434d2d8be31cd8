//! Clients are counted however they show themselves, by every replica, over restarts and outages of the database, and honestly where
//! they are more than are remembered.

use std::{collections::BTreeMap, time::Duration};

use changeover::{
    domain::{Micros, Transport},
    store::{Ago, Crowd, Sighting, Sketch, Told},
};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Client, InProcess, MODULE, Program, Setup, changeover},
    metrics::metric,
};

const SOON: Duration = Duration::from_mins(1);

crate::on_each_database!(
    clients_are_counted_however_they_show_themselves,
    two_replicas_count_a_client_once,
    who_was_seen_before_a_restart_is_still_known,
    above_the_bound_all_replicas_estimate,
    below_the_bound_again_all_replicas_count,
    those_without_an_id_are_told_of,
    who_was_not_seen_for_long_is_forgotten,
    a_census_that_is_off_forgets_on,
);

/// Everything is written and counted at once.
fn setup(database: &DatabaseUnderTest, instance: &str) -> Setup {
    Setup::new(database, instance)
        .set("census.flush", "100ms")
        .set("census.resolution", "100ms")
        .set("census.count_every", "100ms")
}

async fn poll(client: &Client, terminal: &str, agent: &str) {
    let url = format!("{}/api/{MODULE}/list?since=0", client.public);
    let poll = client.http.get(url).header("User-Agent", agent);
    let poll = match terminal {
        "" => poll,
        terminal => poll.header("X-Terminal", terminal),
    };
    assert_eq!(client.send(poll).await.status, StatusCode::OK);
}

async fn session(client: &Client, id: &str) {
    let url = format!("{}/v1/session", client.public);
    let asked =
        json!({"client_id": id, "agent": "Native/1", "audience": "u1", "modules": [MODULE]});
    let session = client.http.post(url).json(&asked);
    assert_eq!(client.send(session).await.status, StatusCode::OK);
}

/// `POST /v1/poll` and a catch-up read, which say that they are on push.
async fn read_on_push(client: &Client, id: &str) {
    let (poll, stream) = (
        format!("{}/v1/poll", client.public),
        format!("{}/v1/streams/{MODULE}", client.public),
    );
    let poll = client
        .http
        .post(poll)
        .json(&json!({"cursors": {MODULE: null}}));
    for read in [poll, client.http.get(stream)] {
        let read = read.header("Changeover-Client", id);
        let read = read.header("Changeover-Transport", "push");
        assert_eq!(client.send(read).await.status, StatusCode::OK);
    }
}

async fn everybody_to_push(client: &Client) {
    let path = format!("/admin/v1/modules/{MODULE}/ramp");
    let act = json!({"percent": 100, "reason": "test"});
    assert_eq!(client.post(&path, &act).await.status, StatusCode::OK);
}

/// The counts in `GET /admin/v1/modules/{m}`, once they are these.
async fn counted(client: &Client, push: u64, poll: u64) -> Value {
    let what = format!("{push} on push and {poll} who poll");
    let clients = eventually(&what, SOON, async || {
        let path = format!("/admin/v1/modules/{MODULE}");
        let clients = client.get(&path).await.json()["clients"].take();
        (clients["push"] == push && clients["poll"] == poll).then_some(clients)
    });
    clients.await
}

/// The pages of the census, from the command line.
async fn listed(client: &Client, arguments: &[&str]) -> Vec<Value> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut command = [&["census"], arguments].concat();
        command.extend(["--output", "json", "--limit", "2"]);
        if let Some(after) = &after {
            command.extend(["--after", after]);
        }
        let done = changeover(client, &command).await;
        assert!(done.status.success(), "{done:?}");
        let page: Value = serde_json::from_slice(&done.stdout).unwrap();
        all.extend(page["clients"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return all,
        }
    }
}

fn ids(clients: &[Value]) -> Vec<&str> {
    let id = |client: &Value| client["client_id"].as_str().map(str::len);
    assert!(clients.iter().all(|client| id(client).is_some()));
    clients
        .iter()
        .map(|client| client["client_id"].as_str().unwrap())
        .collect()
}

async fn clients_are_counted_however_they_show_themselves(database: DatabaseUnderTest) {
    let began = changeover::domain::Clock::now(&changeover::domain::SystemClock);
    let gateway = InProcess::start(&setup(&database, "a")).await;
    let client = &gateway.client;
    everybody_to_push(client).await;
    for _ in 0..3 {
        poll(client, "p1", "Terminal/1").await;
        poll(client, "p2", "Terminal/2").await;
    }
    session(client, "s1").await;
    read_on_push(client, "r1").await;
    let url = format!("{}/v1/streams/{MODULE}", client.public);
    let read = client.http.get(&url).header("Changeover-Client", "r2");
    assert_eq!(client.send(read).await.status, StatusCode::OK);
    assert_eq!(
        client.send(client.http.get(&url)).await.status,
        StatusCode::OK
    );
    let counts = counted(client, 2, 3).await;
    assert_eq!(
        (&counts["fell_back"], &counts["exact"]),
        (&json!(0), &json!(true))
    );
    let since = changeover::domain::Micros::parse_rfc3339(counts["since"].as_str().unwrap());
    assert!(since.unwrap() >= began, "{counts}: nobody looked before");
    assert_eq!(counts["without_id"], 0);

    let all = listed(client, &[]).await;
    assert_eq!(ids(&all), ["p1", "p2", "r1", "r2", "s1"]);
    let by_id: BTreeMap<_, _> = ids(&all).into_iter().zip(&all).collect();
    assert_eq!(by_id["p1"]["agent"], "Terminal/1");
    assert_eq!(by_id["p1"]["transport"], "poll");
    assert_eq!(by_id["p1"]["pushed_at"], Value::Null);
    assert_eq!(by_id["p1"]["address"], Value::Null, "not kept");
    assert_eq!(by_id["s1"]["transport"], "push");
    assert_eq!(by_id["s1"]["audience"], "u1");
    assert_eq!(by_id["s1"]["agent"], "Native/1");
    assert_eq!(
        ids(&listed(client, &[MODULE, "--transport", "push"]).await),
        ["r1", "s1"]
    );
    assert_eq!(
        ids(&listed(client, &["--agent", "Terminal/*"]).await),
        ["p1", "p2"]
    );
    assert_eq!(ids(&listed(client, &["--within", "1h"]).await).len(), 5);
    assert_eq!(ids(&listed(client, &["notices"]).await), [""; 0]);
    let table = changeover(client, &["census", "--output", "table"]).await;
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.starts_with("MODULE "), "{table}");
    assert!(table.contains("p1      poll       Terminal/1"), "{table}");
    for (query, why) in [
        ("transport=both", "transport: must be poll or push"),
        ("since=yesterday", "since: must be a time"),
        ("after=x", "after: must be `next`"),
        ("agent=", "agent: must not be empty"),
        ("limit=1001", "limit: must be from 1 to 1000, not 1001"),
        (
            "transprot=poll",
            "unknown field `transprot`, expected one of `module`, `transport`",
        ),
    ] {
        let refused = client.get(&format!("/admin/v1/census?{query}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.text.contains(why), "{query}: {}", refused.text);
    }
    let stranger = client.get("/admin/v1/census?module=nobody").await;
    assert_eq!(stranger.status, StatusCode::NOT_FOUND);
    gateway.stop().await;
}

async fn two_replicas_count_a_client_once(database: DatabaseUnderTest) {
    let a = InProcess::start(&setup(&database, "a").among_others()).await;
    let b = InProcess::start(&setup(&database, "b").among_others()).await;
    for n in 0..20 {
        poll(&a.client, &format!("t{n:02}"), "Terminal/1").await;
    }
    for n in 10..30 {
        poll(&b.client, &format!("t{n:02}"), "Terminal/2").await;
    }
    for gateway in [&a, &b] {
        let counts = counted(&gateway.client, 0, 30).await;
        assert_eq!(counts["exact"], true);
    }
    eventually("the later one counts", SOON, async || {
        for n in 10..20 {
            poll(&b.client, &format!("t{n:02}"), "Terminal/2").await;
        }
        let updated = listed(&a.client, &["--agent", "Terminal/2"]).await;
        (updated.len() == 20).then_some(())
    })
    .await;
    counted(&a.client, 0, 30).await;
    a.stop().await;
    b.stop().await;
}

async fn who_was_seen_before_a_restart_is_still_known(database: DatabaseUnderTest) {
    // Nothing is written before the end.
    let slow = setup(&database, "a")
        .set("census.flush", "10m")
        .set("census.gap", "1h")
        .set("census.push_holds", "1h");
    let gateway = InProcess::start(&slow).await;
    for n in 0..30 {
        poll(&gateway.client, &format!("t{n:02}"), "Terminal/1").await;
    }
    gateway.stop().await;
    let gateway = InProcess::start(&setup(&database, "a")).await;
    let client = &gateway.client;
    counted(client, 0, 30).await;
    for n in 20..40 {
        poll(client, &format!("t{n:02}"), "Terminal/1").await;
    }
    let path = format!("/admin/v1/modules/{MODULE}/ramp?dry_run=true");
    let all = client
        .post(&path, &json!({"percent": 100, "reason": "test"}))
        .await;
    let preview = &all.json()["preview"];
    assert_eq!(
        (&preview["known"], &preview["complete"]),
        (&json!(40), &json!(true))
    );
    assert_eq!(preview["to_push"]["clients"], 40, "{preview}");
    let some = json!({"percent": 0, "include": ["agent:Terminal/*"], "reason": "test"});
    let some = client.post(&path, &some).await;
    assert_eq!(
        some.json()["preview"]["to_push"]["clients"],
        40,
        "agents are known too"
    );
    counted(client, 0, 40).await;
    gateway.stop().await;
}

async fn above_the_bound_all_replicas_estimate(database: DatabaseUnderTest) {
    let small = |instance| {
        setup(&database, instance)
            .among_others()
            .set("census.clients", 50)
    };
    let a = InProcess::start(&small("a")).await;
    let b = InProcess::start(&small("b")).await;
    for n in 0..400 {
        poll(&a.client, &format!("t{n:03}"), "Terminal/1").await;
    }
    // What b sees alone is within its own bound: only the other's overflow makes it tell.
    for n in 390..430 {
        poll(&b.client, &format!("t{n:03}"), "Terminal/1").await;
    }
    for gateway in [&a, &b] {
        let honest = eventually("an estimate of 430 clients", SOON, async || {
            let path = format!("/admin/v1/modules/{MODULE}");
            let clients = gateway.client.get(&path).await.json()["clients"].take();
            let poll = clients["poll"].as_u64().unwrap_or(0);
            // 1.6 % is the standard error; three of it.
            (clients["exact"] == false && (409..=451).contains(&poll)).then_some(clients)
        });
        assert_eq!(honest.await["push"], 0);
    }
    let store = database.open().await;
    let module = MODULE.parse().unwrap();
    let pollers = store.pollers(&module, SOON * 60, 10).await.unwrap();
    assert!(!pollers.is_exact, "there are more than have rows");
    assert!((51..=101).contains(&pollers.total), "{}", pollers.total);
    a.stop().await;
    b.stop().await;
}

async fn below_the_bound_again_all_replicas_count(database: DatabaseUnderTest) {
    let brief = |instance| {
        setup(&database, instance)
            .among_others()
            .set("census.clients", 50)
            .set("census.window", "4s")
    };
    let a = InProcess::start(&brief("a")).await;
    let b = InProcess::start(&brief("b")).await;
    let exact = async |client: &Client| {
        let path = format!("/admin/v1/modules/{MODULE}");
        client.get(&path).await.json()["clients"]["exact"].take()
    };
    eventually("both estimate", SOON, async || {
        for n in 0..80 {
            poll(&a.client, &format!("t{n:02}"), "Terminal/1").await;
        }
        poll(&b.client, "t00", "Terminal/1").await;
        let both = [exact(&a.client).await, exact(&b.client).await];
        (both == [false, false]).then_some(())
    })
    .await;
    // Neither goes on telling because the other one does.
    eventually("both count", SOON, async || {
        for client in [&a.client, &b.client] {
            poll(client, "t00", "Terminal/1").await;
        }
        let both = [exact(&a.client).await, exact(&b.client).await];
        (both == [true, true]).then_some(())
    })
    .await;
    a.stop().await;
    b.stop().await;
}

async fn those_without_an_id_are_told_of(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&setup(&database, "a")).await;
    let client = &gateway.client;
    for agent in ["Old/1", "Old/2", "Old/1"] {
        poll(client, "", agent).await;
    }
    poll(client, "named", "Terminal/1").await;
    let all = eventually("both are listed", SOON, async || {
        let all = listed(client, &[MODULE]).await;
        (all.len() == 2).then_some(all)
    })
    .await;
    assert_eq!(ids(&all), ["", "named"]);
    assert_eq!(all[0]["transport"], "poll");
    // The sketch of those without an id is written now and then only; the others are counted exactly all the while.
    let counts = eventually("they are told apart", SOON, async || {
        let path = format!("/admin/v1/modules/{MODULE}");
        let clients = client.get(&path).await.json()["clients"].take();
        (clients["without_id"] == 2 && clients["poll"] == 1).then_some(clients)
    });
    let counts = counts.await;
    assert_eq!(
        (&counts["poll"], &counts["push"], &counts["exact"]),
        (&json!(1), &json!(0), &json!(true))
    );
    everybody_to_push(client).await;
    session(client, "named").await;
    let moved = counted(client, 1, 0).await;
    assert_eq!(moved["without_id"], 2, "{moved}");
    let table = changeover(client, &["census", MODULE, "--output", "table"]).await;
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("~2"), "{table}");
    let (store, module) = (database.open().await, MODULE.parse().unwrap());
    let pollers = store.pollers(&module, SOON * 60, 10).await.unwrap();
    assert!(!pollers.is_exact, "gates know nothing of how many they are");
    gateway.stop().await;
}

/// One was seen three hours ago, the other one now, and what is older than two is forgotten.
async fn old_and_new(database: &DatabaseUnderTest) -> Setup {
    let store = database.store().await;
    let long_ago = Ago::micros(3 * 3_600 * 1_000_000);
    let sighting = |client: &str, ago| Sighting {
        module: MODULE.parse().unwrap(),
        client_id: client.into(),
        agent: "".into(),
        audience: None,
        address: Some("10.0.0.7".into()),
        first_seen: ago,
        polled: Some((ago, Told::Poll)),
        pushed: None,
    };
    let sightings = [sighting("old", long_ago), sighting("new", Ago::micros(0))];
    store.note_clients(&sightings).await.unwrap();
    setup(database, "a")
        .set("census.window", "1h")
        .set("census.keep", "2h")
        .set("gates.clients_within", "2h")
        .set("gates.no_polls_for", "2h")
}

async fn a_census_that_is_off_forgets_on(database: DatabaseUnderTest) {
    let off = old_and_new(&database).await.set("census.enabled", "false");
    let sketch = Sketch {
        module: MODULE.parse().unwrap(),
        crowd: Crowd::Poll,
        instance: "b".to_owned(),
        slice: Micros::new(1),
        registers: vec![1; 4_096],
    };
    let store = database.open().await;
    store.write_sketches(&[sketch]).await.unwrap();
    let gateway = InProcess::start(&off).await;
    eventually("what is old is gone", SOON, async || {
        let all =
            "SELECT client_id FROM client_census WHERE client_id <> 'new' OR address IS NOT NULL";
        let is_left = database.text(all).await.is_some();
        let sketches = store.sketches(Micros::new(0)).await.unwrap();
        (!is_left && sketches.is_empty()).then_some(())
    })
    .await;
    let new = "SELECT client_id FROM client_census";
    assert_eq!(database.text(new).await.as_deref(), Some("new"));
    gateway.stop().await;
}

async fn who_was_not_seen_for_long_is_forgotten(database: DatabaseUnderTest) {
    let hours = old_and_new(&database).await;
    let gateway = InProcess::start(&hours).await;
    eventually("the old one is gone", SOON, async || {
        let left = listed(&gateway.client, &["--within", "1d"]).await;
        (ids(&left) == ["new"]).then_some(())
    })
    .await;
    eventually("its address is, where none are kept", SOON, async || {
        let kept = "SELECT client_id FROM client_census WHERE address IS NOT NULL";
        database.text(kept).await.is_none().then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgresql_is_away_everybody_is_remembered() {
    if let Some(database) = DatabaseUnderTest::private(Kind::Postgres).await {
        remembered_while_away(database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_mariadb_is_away_everybody_is_remembered() {
    if let Some(database) = DatabaseUnderTest::private(Kind::MariaDb).await {
        remembered_while_away(database).await;
    }
}

async fn remembered_while_away(database: DatabaseUnderTest) {
    let mut gateway = Program::start(&setup(&database, "a").set("census.batch", 7)).await;
    let client = gateway.client.clone();
    for n in 0..20 {
        poll(&client, &format!("before{n:02}"), "Terminal/1").await;
    }
    counted(&client, 0, 20).await;
    tokio::task::block_in_place(|| database.stop());
    for n in 0..60 {
        poll(&client, &format!("during{n:02}"), "Terminal/1").await;
    }
    eventually("it says so", SOON, async || {
        gateway.said("the census cannot be written: who was seen is kept in memory until it can")
    })
    .await;
    poll(&client, "during60", "Terminal/1").await;
    tokio::task::block_in_place(|| database.start());
    counted(&client, 0, 81).await;
    eventually("it says so", SOON, async || {
        gateway.said("the census is written again")
    })
    .await;
    let gauge = async |transport| {
        let labels = [("module", MODULE), ("transport", transport)];
        metric(&client, "changeover_clients", &labels).await
    };
    eventually("the metric shows it", SOON, async || {
        (gauge(Transport::Poll.as_str()).await > 80.5).then_some(())
    })
    .await;
    assert!(gauge(Transport::Push.as_str()).await < 0.5);
    assert_eq!(gateway.terminate().await.0, 0);
}
