//! A client that polls although its push is healthy is told to come ever more rarely, and as usual the moment that it is not; one that
//! then goes on polling has fallen back. On the real embedded broker.

use std::time::Duration;

use changeover::config::mqtt::Protocol;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    database::DatabaseUnderTest,
    eventually,
    follower::Follower,
    gateway::{Client, InProcess, MODULE, Setup},
};

const SOON: Duration = Duration::from_mins(1);
/// `next_poll_ms` of the module.
const USUAL_MS: u64 = 5_000;
const MOST_MS: u64 = 40_000;

crate::on_each_database!(
    while_it_is_connected_to_the_embedded_broker,
    while_its_polls_say_so,
    not_of_who_is_told_to_poll_or_says_nothing,
    a_body_that_tells_the_interval_is_sent_once_for_each_step,
);

fn setup(database: &DatabaseUnderTest) -> Setup {
    Setup::new(database, "a")
        .set("census.flush", "100ms")
        .set("census.resolution", "100ms")
        .set("census.count_every", "100ms")
        .set("census.grace", "300ms")
        .set("census.decay.max_ms", MOST_MS)
        .set("census.decay.double_every", "1s")
        .set("panic.spread", "0s")
}

async fn act(client: &Client, path: &str, body: &Value) {
    let done = client.post(path, body).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
}

async fn everybody_to_push(client: &Client) {
    let path = format!("/admin/v1/modules/{MODULE}/ramp");
    act(client, &path, &json!({"percent": 100, "reason": "test"})).await;
}

/// As that of the tests, and its bodies tell the interval.
const TELLING: &str = r#"
[[modules]]
name = "commission"
[modules.poll]
path   = "/api/commission/list"
cursor = { in = "query", name = "since", kind = "position" }
client = { in = "header", name = "X-Terminal" }
[modules.poll.response]
body = '{"list":"$changes","next":"$next_poll_ms"}'
etag = true
"#;

/// What a poll of `t1` is told to wait.
async fn next_poll_ms(client: &Client, says_push: bool) -> u64 {
    let url = format!("{}/api/{MODULE}/list?since=0", client.public);
    let poll = client.http.get(url).header("X-Terminal", "t1");
    let poll = if says_push {
        poll.header("Changeover-Transport", "push")
    } else {
        poll
    };
    let answer = client.send(poll).await;
    assert_eq!(answer.status, StatusCode::OK);
    let header = answer.headers.get("changeover-next-poll-ms");
    header.map_or(USUAL_MS, |value| value.to_str().unwrap().parse().unwrap())
}

async fn clients(client: &Client) -> Value {
    let path = format!("/admin/v1/modules/{MODULE}");
    client.get(&path).await.json()["clients"].take()
}

/// Polls until the interval has grown to its bound; it never shrinks meanwhile.
async fn grows(client: &Client, says_push: bool) {
    let mut last = 0;
    eventually("the interval grows to its bound", SOON, async || {
        let next = next_poll_ms(client, says_push).await;
        assert!(
            (USUAL_MS..=MOST_MS).contains(&next) && next >= last,
            "{last} {next}"
        );
        last = next;
        (next == MOST_MS).then_some(())
    })
    .await;
}

async fn while_it_is_connected_to_the_embedded_broker(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&setup(&database)).await;
    let client = &gateway.client;
    everybody_to_push(client).await;
    let url = format!("{}/v1/session", client.public);
    let asked = client
        .http
        .post(url)
        .json(&json!({"client_id": "t1", "modules": [MODULE]}));
    let session = client.send(asked).await.json();
    // The session alone proves nothing.
    assert_eq!(next_poll_ms(client, false).await, USUAL_MS);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let topics = session["modules"][MODULE]["topics"].as_array().unwrap();
    let topics: Vec<_> = topics.iter().map(text).collect();
    let topics: Vec<_> = topics.iter().map(String::as_str).collect();
    let (broker, id) = (
        text(&session["mqtt"]["url"]),
        text(&session["mqtt"]["client_id"]),
    );
    let connect = async || {
        let terminal = Follower::start(&broker, Protocol::V5, &id, &topics);
        terminal
            .wait("its subscription", |record| !record.sessions.is_empty())
            .await;
        terminal
    };
    let terminal = connect().await;
    grows(client, false).await;
    let healthy = clients(client).await;
    eventually("it is on push, although it polls", SOON, async || {
        let clients = clients(client).await;
        (clients["push"] == 1 && clients["poll"] == 0).then_some(())
    })
    .await;
    assert_eq!(healthy["fell_back"], 0);

    // Under panic it is told the usual at once, connected or not.
    act(client, "/admin/v1/panic", &json!({"reason": "test"})).await;
    assert_eq!(next_poll_ms(client, false).await, USUAL_MS);
    let lift = client
        .http
        .delete(format!("{}/admin/v1/panic", client.private));
    let lifted = client.send(lift.json(&json!({"reason": "test"}))).await;
    assert_eq!(lifted.status, StatusCode::OK, "{lifted:?}");
    grows(client, false).await;

    drop(terminal);
    eventually("the usual interval", SOON, async || {
        (next_poll_ms(client, false).await == USUAL_MS).then_some(())
    })
    .await;
    eventually("it has fallen back", SOON, async || {
        assert_eq!(next_poll_ms(client, false).await, USUAL_MS);
        let clients = clients(client).await;
        (clients["fell_back"] == 1 && clients["poll"] == 1).then_some(())
    })
    .await;
    let _terminal = connect().await;
    eventually("it is on push again", SOON, async || {
        let clients = clients(client).await;
        (clients["fell_back"] == 0 && clients["push"] == 1).then_some(())
    })
    .await;
    grows(client, false).await;
    gateway.stop().await;
}

async fn while_its_polls_say_so(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&setup(&database)).await;
    let client = &gateway.client;
    everybody_to_push(client).await;
    grows(client, true).await;
    assert_eq!(next_poll_ms(client, false).await, USUAL_MS);
    assert_eq!(
        next_poll_ms(client, true).await / USUAL_MS,
        1,
        "it begins anew"
    );
    grows(client, true).await;
    gateway.stop().await;
}

async fn not_of_who_is_told_to_poll_or_says_nothing(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&setup(&database)).await;
    let client = &gateway.client;
    assert_eq!(next_poll_ms(client, true).await, USUAL_MS, "at mirror");
    everybody_to_push(client).await;
    // Told to push for long it polls on, was never on push, and so fell back from nothing.
    eventually("it is counted as polling", SOON, async || {
        assert_eq!(next_poll_ms(client, false).await, USUAL_MS);
        let clients = clients(client).await;
        (clients["poll"] == 1 && clients["push"] == 0).then_some(())
    })
    .await;
    assert_eq!(clients(client).await["fell_back"], 0);
    gateway.stop().await;
}

async fn a_body_that_tells_the_interval_is_sent_once_for_each_step(database: DatabaseUnderTest) {
    let gateway = InProcess::start(&setup(&database).modules(TELLING)).await;
    let client = &gateway.client;
    everybody_to_push(client).await;
    let (mut held, mut told, mut had_it) = (String::new(), Vec::new(), 0);
    let poll = async |held: &str, says_push: bool| {
        let url = format!("{}/api/{MODULE}/list?since=0", client.public);
        let poll = client.http.get(url).header("X-Terminal", "t1");
        let poll = poll.header("If-None-Match", held);
        let transport = if says_push { "push" } else { "poll" };
        client
            .send(poll.header("Changeover-Transport", transport))
            .await
    };
    eventually("the interval grows to its bound", SOON, async || {
        let answer = poll(&held, true).await;
        match answer.status {
            StatusCode::NOT_MODIFIED => had_it += 1,
            status => {
                assert_eq!(status, StatusCode::OK);
                told.push(answer.json()["next"].as_u64().unwrap());
                answer.header("etag").clone_into(&mut held);
            }
        }
        (told.last() == Some(&MOST_MS)).then_some(())
    })
    .await;
    // A busy machine may miss a step, and sees none twice.
    let steps = [1, 2, 4, 8].map(|times| USUAL_MS * times);
    assert!(told.is_sorted_by(|a, b| a < b), "{told:?}");
    assert!(told.iter().all(|next| steps.contains(next)), "{told:?}");
    assert!(had_it > 0, "nobody gets 304 while it grows: {told:?}");
    let still = poll(&held, true).await;
    assert_eq!(still.status, StatusCode::NOT_MODIFIED);
    let back = poll(&held, false).await;
    assert_eq!(back.status, StatusCode::OK, "what it must not miss");
    assert_eq!(back.json()["next"], USUAL_MS);
    gateway.stop().await;
}
