//! Ten thousand polls wait at one process, each on its own connection: a change for one wakes one,
//! a change for all wakes all. Prints what a waiting poll costs in memory.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Program, Setup},
    metrics::metric,
    socket::Socket,
    within,
};

const POLLS: usize = 10_000;
const PATIENCE: Duration = Duration::from_mins(4);

const MODULES: &str = r#"
[[modules]]
name = "news"
[modules.poll]
path     = "/news"
cursor   = { in = "query", name = "since", kind = "position" }
audience = { in = "query", name = "uid" }
wait     = { in = "query", name = "wait_ms", max_ms = 600000 }
[modules.poll.response]
body  = '{"list":"$changes","since":"$cursor"}'
item  = '{"key":"$key"}'
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_polls_wait() {
    let files = u64::try_from(POLLS).unwrap() + 2_000;
    let granted = rlimit::increase_nofile_limit(files).unwrap();
    assert!(granted >= files, "the system allows {granted} open files");
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = Program::start(&Setup::new(&database, "many").modules(MODULES)).await;

    let empty = resident_bytes(&gateway);
    let mut sockets = Vec::with_capacity(POLLS);
    for number in 0..POLLS {
        let mut socket = Socket::connect(&gateway.client.public).await;
        socket.send(&format!("/news?since=0&uid=u{number}")).await;
        let (head, _) = within("a poll", PATIENCE, socket.answer()).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        sockets.push(socket);
    }
    let connected = resident_bytes(&gateway);
    for (number, socket) in sockets.iter_mut().enumerate() {
        let path = format!("/news?since=0&uid=u{number}&wait_ms=600000");
        socket.send(&path).await;
    }
    until_waiting(&gateway, POLLS).await;
    let waiting = resident_bytes(&gateway);
    println!(
        "{POLLS} polls wait: {} bytes resident each beside {} for its connection",
        waiting.saturating_sub(connected) / POLLS,
        connected.saturating_sub(empty) / POLLS,
    );

    ingest(&gateway, "u77").await;
    let (_, body) = within("its news", PATIENCE, sockets[77].answer()).await;
    assert_eq!(body, r#"{"list":[{"key":"u77"}],"since":1}"#);
    until_waiting(&gateway, POLLS - 1).await;
    let woken = metric(&gateway.client, "changeover_waits_woken_total", &[]).await;
    assert!(
        (woken - 1.0).abs() < 0.5,
        "{woken} woken by a change for one"
    );

    let began = Instant::now();
    ingest(&gateway, "*").await;
    for (number, socket) in sockets.iter_mut().enumerate() {
        if number != 77 {
            let (_, body) = within("the news of all", PATIENCE, socket.answer()).await;
            assert_eq!(body, r#"{"list":[{"key":"*"}],"since":2}"#);
        }
    }
    println!("a change for all is with all after {:?}", began.elapsed());
    until_waiting(&gateway, 0).await;
}

async fn ingest(gateway: &Program, audience: &str) {
    let change = json!({"audience": audience, "key": audience, "value": 1});
    let answer = gateway
        .client
        .post("/v1/modules/news/changes", &change)
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
}

async fn until_waiting(gateway: &Program, count: usize) {
    let what = format!("{count} polls wait");
    eventually(&what, PATIENCE, async || {
        let now = metric(&gateway.client, "changeover_waiting_polls", &[]).await;
        (now.to_string() == count.to_string()).then_some(())
    })
    .await;
}

/// The resident memory of the program.
fn resident_bytes(gateway: &Program) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
    kibibytes.parse::<usize>().unwrap() * 1_024
}
