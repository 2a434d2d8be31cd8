//! Many streams at once, clients that do not read, and an end of the process with all of them open.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use http::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Answer, Client, InProcess, MODULE, Program, Setup},
    native::{PATIENCE, Sse, cursor, metric, numbered, poll, positions, stream},
    within,
};

const STREAMS: u64 = 200;
const CHANGES: u64 = 60;

async fn start(keys: &[(&str, &str)]) -> (DatabaseUnderTest, Program) {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "a").set("native.stream_ms", 600_000);
    let setup = keys
        .iter()
        .fold(setup, |setup, (key, value)| setup.set(key, value));
    let gateway = Program::start(&setup).await;
    (database, gateway)
}

async fn open_streams(client: &Client) -> u64 {
    metric(client, "changeover_streams", "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_streams_see_every_change_and_end_with_the_process() {
    let (_database, mut gateway) = start(&[]).await;
    let client = gateway.client.clone();
    let mut readers = JoinSet::new();
    let received = Arc::<AtomicU64>::default();
    for number in 0..STREAMS {
        let (client, received) = (client.clone(), Arc::clone(&received));
        readers.spawn(async move {
            let audience = number % 5;
            let mut sse = Sse::open(&client, &format!("offset=-1&audience=u{audience}")).await;
            assert_eq!(sse.status, StatusCode::OK);
            let mut seen = Vec::new();
            while let Some(sent) = sse.next().await {
                if sent.event == "data" {
                    let events = sent.data.as_array().unwrap();
                    received.fetch_add(events.len() as u64, SeqCst);
                    seen.extend(positions(events));
                }
            }
            (audience, seen)
        });
    }
    eventually("all are open", PATIENCE, async || {
        (open_streams(&client).await == STREAMS).then_some(())
    })
    .await;
    for n in 0..CHANGES {
        client
            .ingest(&json!([{"key": "k", "audience": format!("u{}", n % 5), "value": n}]))
            .await;
    }
    eventually("all have theirs", PATIENCE, async || {
        (received.load(SeqCst) >= STREAMS * CHANGES / 5).then_some(())
    })
    .await;
    let (code, _) = gateway.terminate().await;
    assert_eq!(code, 0, "{}", gateway.log());
    let ended = within("the streams end", PATIENCE, readers.join_all()).await;
    assert_eq!(ended.len() as u64, STREAMS);
    for (audience, seen) in ended {
        let wanted: Vec<_> = (0..CHANGES)
            .filter(|n| n % 5 == audience)
            .map(|n| n + 1)
            .collect();
        assert_eq!(seen, wanted, "u{audience}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stream_more_than_allowed_is_refused() {
    let (_database, gateway) = start(&[("native.streams", "1")]).await;
    let client = &gateway.client;
    let mut first = Sse::open(client, "offset=-1").await;
    first.event("control").await;
    let refused = stream(client, "offset=-1&live=sse").await;
    assert_come_back(&refused);
    drop(first);
    eventually("its place is free", PATIENCE, async || {
        let next = Sse::open(client, "offset=-1").await;
        (next.status == StatusCode::OK).then_some(())
    })
    .await;
}

/// Twenty clients ask for 25 MB each and read none of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_grows_nothing() {
    const CLIENTS: u64 = 20;
    const ROWS: usize = 125;
    let (_database, mut gateway) = start(&[("tail.changes", "10")]).await;
    let client = gateway.client.clone();
    let value = "x".repeat(200_000);
    for n in 0..ROWS {
        client
            .ingest(&json!([{"key": format!("k{n}"), "value": value}]))
            .await;
    }
    numbered(&client, MODULE, ROWS as u64).await;
    let resident = || resident_kib(gateway.id());
    // What one read of a page takes, it takes again and again.
    let whole = stream(&client, "").await;
    assert_eq!(whole.status, StatusCode::OK);
    let before = resident();
    let address = client.public.strip_prefix("http://").unwrap();
    let mut idle = Vec::new();
    for _ in 0..CLIENTS {
        let mut socket = TcpStream::connect(address).unwrap();
        socket
            .write_all(b"GET /v1/streams/commission?offset=-1&live=sse HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut head = [0; 64];
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.read_exact(&mut head).unwrap();
        assert!(
            head.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        idle.push(socket);
    }
    assert_eq!(open_streams(&client).await, CLIENTS);
    // A stream that is read gets everything meanwhile.
    let mut sse = Sse::open(&client, "offset=-1").await;
    let mut seen = 0;
    while seen < ROWS {
        seen += sse.event("data").await.as_array().unwrap().len();
        sse.event("control").await;
    }
    let grown = resident().saturating_sub(before) / 1024;
    println!("{CLIENTS} clients that do not read: {grown} MiB more");
    assert!(grown < 300, "{grown} MiB, all of it would be 500");
    drop((idle, sse));
    eventually("they are closed", PATIENCE, async || {
        (open_streams(&client).await == 0).then_some(())
    })
    .await;
    let (code, _) = gateway.terminate().await;
    assert_eq!(code, 0, "{}", gateway.log());
}

fn resident_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// Memory answers who waits; whoever wants to hear that nothing is missing is told to come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_nothing_is_up_to_date() {
    let Some(database) = DatabaseUnderTest::private(Kind::Postgres).await else {
        return;
    };
    let setup = Setup::new(&database, "a")
        .set("database.acquire_timeout_ms", 500)
        .set("native.wait_ms", 100)
        .set("native.stream_ms", 600_000)
        .set("native.keep_alive_ms", 100);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    client
        .ingest(&json!([{"key": "a", "value": 1}, {"key": "b", "value": 2}]))
        .await;
    numbered(client, MODULE, 2).await;
    tokio::task::block_in_place(|| database.stop());

    let end = cursor(2);
    for query in [
        format!("offset={end}"),
        "offset=now".to_owned(),
        "offset=now&live=sse".to_owned(),
    ] {
        assert_come_back(&stream(client, &query).await);
    }
    let snapshot = format!("{}/v1/modules/{MODULE}/snapshot", client.public);
    assert_come_back(&client.send(client.http.get(snapshot)).await);
    assert_come_back(&poll(client, &json!({"cursors": {MODULE: end}})).await);
    let partly = stream(client, "offset=-1").await;
    assert_eq!(positions(partly.json().as_array().unwrap()), [1, 2]);
    assert_eq!(partly.header("stream-up-to-date"), "", "nobody knows");
    assert_eq!(partly.header("cache-control"), "no-store");
    let partly = poll(client, &json!({"cursors": {MODULE: null}}))
        .await
        .json();
    assert_eq!(partly["modules"][MODULE]["has_more"], true);
    let waits = stream(client, &format!("offset={end}&live=long-poll")).await;
    assert_eq!(waits.status, StatusCode::NO_CONTENT);
    let waits = poll(client, &json!({"cursors": {MODULE: end}, "wait_ms": 50})).await;
    assert_eq!(waits.json()["modules"][MODULE]["has_more"], false);
    let mut sse = Sse::open(client, &format!("offset={end}")).await;
    for _ in 0..2 {
        assert_eq!(sse.next().await.unwrap().event, "", "silence");
    }

    tokio::task::block_in_place(|| database.start());
    assert_eq!(sse.event("control").await["upToDate"], true);
    gateway.stop().await;
}

fn assert_come_back(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let pause: u32 = answer.header("retry-after").parse().unwrap();
    assert!((6..=10).contains(&pause), "{answer:?}");
}
