//! Polls that wait for news: they hear of their own news only, at once, and of nothing too late; and
//! they end in time, with their client, and with the process.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Answer, Client, InProcess, Program, Setup},
    metrics::metric,
    socket::Socket,
    within,
};

/// Far below the waits that must not be waited out.
const SOON: Duration = Duration::from_secs(30);
/// Far above [`SOON`].
const LONG_MS: u64 = 300_000;

const MODULES: &str = r#"
[[modules]]
name = "news"
[modules.poll]
path     = "/news"
cursor   = { in = "query", name = "since", kind = "position" }
audience = { in = "query", name = "uid" }
wait     = { in = "query", name = "wait_ms", max_ms = 300000 }
[modules.poll.response]
body  = '{"list":"$changes","since":"$cursor"}'
item  = '{"key":"$key"}'
error = '{"code":"$status","msg":"$message"}'

[[modules]]
name = "brief"
[modules.poll]
path     = "/brief"
cursor   = { in = "query", name = "since", kind = "position" }
wait     = { in = "header", name = "X-Wait", unit = "s", max_ms = 300 }
[modules.poll.response]
body  = '{"list":"$changes","since":"$cursor"}'
item  = '{"key":"$key"}'

[[modules]]
name = "board"
[modules.poll]
path     = "/board"
cursor   = { kind = "none" }
wait     = { default_ms = 300000, max_ms = 300000 }
[modules.poll.response]
body  = '{"list":"$changes"}'
item  = '{"key":"$key"}'
"#;

async fn setup() -> Setup {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    Setup::new(&database, "waiting").modules(MODULES)
}

async fn get(client: &Client, path: &str) -> Answer {
    client
        .send(client.http.get(format!("{}{path}", client.public)))
        .await
}

/// A poll of `news` under way.
fn poll(client: &Client, uid: &str, since: u64, wait_ms: u64) -> tokio::task::JoinHandle<Answer> {
    let (client, uid) = (client.clone(), uid.to_owned());
    tokio::spawn(async move {
        let path = format!("/news?uid={uid}&since={since}&wait_ms={wait_ms}");
        get(&client, &path).await
    })
}

async fn ingest(client: &Client, module: &str, audience: &str, key: &str) {
    let change = json!({"audience": audience, "key": key, "value": 1});
    let path = format!("/v1/modules/{module}/changes");
    let answer = client.post(&path, &change).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
}

async fn until_waiting(client: &Client, module: &str, count: f64) {
    let what = format!("{count} polls of {module} wait");
    eventually(&what, SOON, async || {
        let now = metric(client, "changeover_waiting_polls", &[("module", module)]).await;
        ((now - count).abs() < 0.5).then_some(())
    })
    .await;
}

async fn woken(client: &Client) -> f64 {
    metric(
        client,
        "changeover_waits_woken_total",
        &[("module", "news")],
    )
    .await
}

fn body(keys: &[&str], since: u64) -> Value {
    let list: Vec<_> = keys.iter().map(|key| json!({"key": key})).collect();
    json!({"list": list, "since": since})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_wakes_those_of_its_channel_and_nobody_else() {
    let gateway = Program::start(&setup().await).await;
    let client = &gateway.client;
    let [one, two, three] = ["u1", "u2", "u3"].map(|uid| poll(client, uid, 0, LONG_MS));
    until_waiting(client, "news", 3.0).await;
    ingest(client, "news", "u2", "for u2").await;
    let answer = within("u2 hears of it", SOON, two).await.unwrap();
    assert_eq!(answer.json(), body(&["for u2"], 1));
    until_waiting(client, "news", 2.0).await;
    assert!((woken(client).await - 1.0).abs() < 0.5, "u2 only");
    ingest(client, "news", "nobody", "for nobody").await;
    ingest(client, "news", "*", "for all").await;
    for waiting in [one, three] {
        let answer = within("all hear of it", SOON, waiting).await.unwrap();
        assert_eq!(answer.json(), body(&["for all"], 3));
    }
    until_waiting(client, "news", 0.0).await;
    assert!((woken(client).await - 3.0).abs() < 0.5, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_answered_at_once_and_an_idle_wait_moves_the_cursor() {
    let gateway = InProcess::start(&setup().await).await;
    let client = &gateway.client;
    ingest(client, "news", "u1", "there").await;
    ingest(client, "news", "other", "not for u1").await;
    let answer = within("no wait", SOON, poll(client, "u1", 0, LONG_MS)).await;
    let answer = answer.unwrap().json();
    assert_eq!(answer["list"], json!([{"key": "there"}]));
    eventually("both are in memory", SOON, async || {
        let idle = poll(client, "u1", 1, 0).await.unwrap().json();
        (idle["since"] == 2).then_some(())
    })
    .await;
    let began = Instant::now();
    let idle = poll(client, "u1", 1, 200).await.unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(180),
        "at most a tenth early"
    );
    assert_eq!(idle.json(), body(&[], 2), "not cut: to where memory ends");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_request_says_of_its_wait_is_checked_and_bounded() {
    let gateway = InProcess::start(&setup().await).await;
    let client = &gateway.client;
    let answer = get(client, "/news?since=0&wait_ms=soon").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let said = json!({"code": 400, "msg": "wait (query parameter wait_ms): must be a whole number of milliseconds"});
    assert_eq!(answer.json(), said);
    // An hour is asked for, and 0.3 s are allowed.
    let request = client.http.get(format!("{}/brief?since=0", client.public));
    let hour = client.send(request.header("X-Wait", "3600"));
    let answer = within("max_ms", SOON, hour).await;
    assert_eq!(answer.json(), body(&[], 0));
    // A state has no cursor: the wait is for the next change.
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { get(&client, "/board").await }
    });
    until_waiting(client, "board", 1.0).await;
    ingest(client, "board", "*", "pinned").await;
    let answer = within("the change", SOON, waiting).await.unwrap();
    assert_eq!(answer.json(), json!({"list": [{"key": "pinned"}]}));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_timeout_of_the_connection_ends_a_wait() {
    let setup = setup().await.set("server.idle_timeout_ms", 200);
    let gateway = InProcess::start(&setup).await;
    let mut socket = Socket::connect(&gateway.client.public).await;
    socket.send("/news?since=0&uid=u1&wait_ms=1500").await;
    let (head, text) = within("an answer", SOON, socket.answer()).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), body(&[], 0));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_began_together_do_not_end_together() {
    let gateway = InProcess::start(&setup().await).await;
    let mut polls = JoinSet::new();
    for number in 0..40 {
        let client = gateway.client.clone();
        polls.spawn(async move {
            let began = Instant::now();
            poll(&client, &format!("u{number}"), 0, 3_000)
                .await
                .unwrap();
            began.elapsed()
        });
    }
    let mut took = polls.join_all().await;
    took.sort_unstable();
    assert!(took[0] >= Duration::from_millis(2_700), "{took:?}");
    // Forty draws from 300 ms.
    let spread = took[39].saturating_sub(took[0]);
    assert!(spread > Duration::from_millis(50), "{took:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_bound_polls_are_answered_at_once() {
    let gateway = Program::start(&setup().await.set("poll.max_waiting", 2)).await;
    let client = &gateway.client;
    let waiting = ["u1", "u2"].map(|uid| poll(client, uid, 0, LONG_MS));
    until_waiting(client, "news", 2.0).await;
    let answer = within("no wait", SOON, poll(client, "u3", 0, LONG_MS)).await;
    assert_eq!(answer.unwrap().json(), body(&[], 0));
    let crowded = metric(client, "changeover_waits_crowded_total", &[]).await;
    assert!((crowded - 1.0).abs() < 0.5, "{crowded}");
    // A place that is given back is taken again.
    ingest(client, "news", "u1", "news").await;
    until_waiting(client, "news", 1.0).await;
    let next = poll(client, "u4", 1, LONG_MS);
    until_waiting(client, "news", 2.0).await;
    for poll in waiting.iter().chain([&next]) {
        poll.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_answers_all_who_wait() {
    let mut gateway = Program::start(&setup().await).await;
    let client = gateway.client.clone();
    ingest(&client, "news", "other", "not for them").await;
    eventually("it is in memory", SOON, async || {
        let idle = poll(&client, "u", 0, 0).await.unwrap().json();
        (idle["since"] == 1).then_some(())
    })
    .await;
    let polls: Vec<_> = (0..50)
        .map(|number| poll(&client, &format!("u{number}"), 0, LONG_MS))
        .collect();
    until_waiting(&client, "news", 50.0).await;
    let (code, took) = gateway.terminate().await;
    for waiting in polls {
        let answer = waiting.await.unwrap();
        assert_eq!(
            answer.json(),
            body(&[], 1),
            "no news, and the cursor as always"
        );
    }
    assert_eq!(code, 0, "{}", gateway.log());
    assert!(took < Duration::from_secs(10), "server.drain_ms: {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_away_waits_no_longer() {
    let gateway = Program::start(&setup().await).await;
    let client = &gateway.client;
    let mut sockets = Vec::new();
    for number in 0..20 {
        let mut socket = Socket::connect(&client.public).await;
        let path = format!("/news?since=0&uid=u{number}&wait_ms={LONG_MS}");
        socket.send(&path).await;
        sockets.push(socket);
    }
    until_waiting(client, "news", 20.0).await;
    drop(sockets);
    until_waiting(client, "news", 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flip_while_a_poll_waits_is_in_its_answer() {
    let gateway = Program::start(&setup().await).await;
    let client = &gateway.client;
    let waiting = poll(client, "u1", 0, LONG_MS);
    until_waiting(client, "news", 1.0).await;
    let ramp = json!({"reason": "test", "percent": 100});
    let act = client.post("/admin/v1/modules/news/ramp", &ramp).await;
    assert_eq!(act.status, StatusCode::OK, "{act:?}");
    ingest(client, "news", "u1", "after the flip").await;
    let answer = within("the change", SOON, waiting).await.unwrap();
    assert_eq!(answer.header("changeover-stage"), "ramp");
    assert_eq!(answer.header("changeover-transport"), "push");
}

/// Each change comes at a random moment around the beginning of a wait that is far longer than the
/// patience of this test, and nothing comes after it: a wake-up that is lost shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost() {
    const ROUNDS: u64 = 60;
    let gateway = InProcess::start(&setup().await).await;
    let mut clients = JoinSet::new();
    for number in 0..8 {
        let client = gateway.client.clone();
        clients.spawn(async move {
            let uid = format!("client-{number}");
            let mut since = 0;
            for round in 0..ROUNDS {
                let key = format!("{uid}/{round}");
                let waiting = poll(&client, &uid, since, LONG_MS);
                let micros = rand::random_range(0..4_000);
                tokio::time::sleep(Duration::from_micros(micros)).await;
                ingest(&client, "news", &uid, &key).await;
                let what = format!("{key}, {micros} µs after its poll");
                let answer = within(&what, SOON, waiting).await.unwrap().json();
                assert_eq!(answer["list"], json!([{"key": key}]), "{what}");
                since = answer["since"].as_u64().unwrap();
            }
        });
    }
    clients.join_all().await;
    gateway.stop().await;
}
