//! Many streams at once, clients that do not read, and an end of the process with all of them open.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use http::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Client, MODULE, Program, Setup},
    native::{PATIENCE, Sse, metric, numbered, positions, stream},
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
    for number in 0..STREAMS {
        let client = client.clone();
        readers.spawn(async move {
            let audience = number % 5;
            let mut sse = Sse::open(&client, &format!("offset=-1&audience=u{audience}")).await;
            assert_eq!(sse.status, StatusCode::OK);
            let mut seen = Vec::new();
            while let Some(sent) = sse.next().await {
                if sent.event == "data" {
                    seen.extend(positions(sent.data.as_array().unwrap()));
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
    numbered(&client, MODULE, CHANGES).await;
    // The last change has gone out to everyone before the end: each waits for its own.
    let whole = stream(&client, "audience=u0").await;
    assert_eq!(whole.json().as_array().unwrap().len(), 12);
    tokio::time::sleep(Duration::from_millis(500)).await;
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
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let pause: u32 = refused.header("retry-after").parse().unwrap();
    assert!((6..=10).contains(&pause));
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
