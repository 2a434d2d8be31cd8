//! Clients that ask for much and read nothing, or a little now and then: they neither hold up a stop nor
//! keep their connection for ever.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use http::StatusCode;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Client, MODULE, Program, Setup},
    native::{PATIENCE, cursor, metric, numbered, positions, stream},
    within,
};

/// 25 MB: more than all buffers on the way hold together.
const ROWS: u64 = 125;
const ALL: usize = 25_000_000;

const BEGINNING: &str = "offset=-1&live=sse";

/// A gateway whose log is far too large for a socket's buffers.
async fn start(setup: Setup) -> Program {
    let gateway = Program::start(&setup.set("native.page_bytes", 64 << 20)).await;
    let value = "x".repeat(200_000);
    for n in 0..ROWS {
        let change = json!([{"key": format!("k{n}"), "value": value}]);
        gateway.client.ingest(&change).await;
    }
    numbered(&gateway.client, MODULE, ROWS).await;
    gateway
}

/// Asks for a stream over a connection with a small buffer, and reads where its answer begins.
fn ask(client: &Client, query: &str) -> TcpStream {
    let address: SocketAddr = client
        .public
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(16_384).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "GET /v1/streams/{MODULE}?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut begin = [0; 12];
    socket.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_nothing_holds_up_no_stop() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    // The cursor would be written much later, but for the stop.
    let setup = Setup::new(&database, "a")
        .set("server.drain_ms", 16_000)
        .set("native.stream_ms", 600_000)
        .set("mirror.cursor_ms", 60_000)
        .set("mirror.cursor_acks", 1_000_000)
        .set("mirror.drain_ms", 500);
    let mut gateway = start(setup).await;
    eventually("the broker has acknowledged all", PATIENCE, async || {
        let module = gateway.client.module().await;
        (module["targets"][0]["position"] == ROWS).then_some(())
    })
    .await;
    let queries = ["offset=-1", "offset=-1&live=long-poll", BEGINNING];
    let deaf = queries.map(|query| ask(&gateway.client, query));

    let (code, took) = gateway.terminate().await;
    assert_eq!(code, 0, "{}", gateway.log());
    assert!(took < Duration::from_secs(16), "server.drain_ms: {took:?}");
    let cut = gateway.said("connections that did not end were cut off");
    let cut = cut.unwrap_or_else(|| panic!("{}", gateway.log()));
    assert_eq!(cut["connections"], deaf.len(), "{cut}");
    assert!(gateway.said("stopped").is_some(), "{}", gateway.log());
    let of_module = format!("WHERE module = '{MODULE}'");
    let cursor = format!("SELECT CAST(position AS TEXT) FROM mirror_cursor {of_module}");
    assert_eq!(database.text(&cursor).await, Some(ROWS.to_string()));
    let free = format!(
        "SELECT CAST(COUNT(*) AS TEXT) FROM module_head {of_module} AND lease_holder IS NULL"
    );
    assert_eq!(database.text(&free).await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_a_little_now_and_then_loses_the_connection() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "a")
        .set("server.max_connections", 2)
        .set("server.idle_timeout_ms", 5_000)
        .set("native.stream_ms", 1_000);
    let gateway = start(setup).await;
    let done = Arc::<AtomicBool>::default();
    // They take every place of the listener.
    let sips = [0, 1].map(|_| {
        let (socket, done) = (ask(&gateway.client, BEGINNING), Arc::clone(&done));
        thread::spawn(move || sip(socket, 512, &done))
    });
    eventually("their streams end", PATIENCE, async || {
        (metric(&gateway.client, "changeover_streams", "").await == 0).then_some(())
    })
    .await;
    let end = format!("offset={}", cursor(ROWS));
    let answer = within("a free place", PATIENCE, stream(&gateway.client, &end)).await;
    assert_eq!(answer.status, StatusCode::OK);
    done.store(true, SeqCst);
    for sip in sips {
        let taken = sip.join().unwrap().len();
        assert!(taken < ALL, "it was cut off early: {taken}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_slowly_is_let_go_in_time_and_knows_where_to_go_on() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "a").set("native.stream_ms", 1_000);
    let gateway = start(setup).await;
    let socket = ask(&gateway.client, BEGINNING);
    let sips = thread::spawn(move || sip(socket, 32_768, &AtomicBool::new(false)));
    let taken = tokio::task::spawn_blocking(move || sips.join().unwrap());
    let taken = String::from_utf8(taken.await.unwrap()).unwrap();
    assert!(taken.len() < ALL * 3 / 4, "{} bytes", taken.len());
    assert!(taken.ends_with("\r\n0\r\n\r\n"), "an end in order");
    let (_, control) = taken.rsplit_once("event: control\ndata: ").unwrap();
    let (control, _) = control.split_once('\n').unwrap();
    let control: Value = serde_json::from_str(control).unwrap();
    let next = control["streamNextOffset"].as_str().unwrap();
    let rest = stream(&gateway.client, &format!("offset={next}")).await;
    let rest = positions(rest.json().as_array().unwrap());
    assert_eq!(cursor(rest[0] - 1), next);
}

/// Reads so many bytes, up to twenty times a second, until there are no more. Returns all of them.
fn sip(mut socket: TcpStream, bytes: usize, done: &AtomicBool) -> Vec<u8> {
    let (mut taken, mut sip) = (Vec::new(), vec![0; bytes]);
    while !done.load(SeqCst) {
        match socket.read(&mut sip) {
            Ok(0) => break,
            Ok(bytes) => taken.extend_from_slice(&sip[..bytes]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
        thread::sleep(Duration::from_millis(50));
    }
    taken
}
