//! `server.idle_timeout_ms`: a connection that waits for a request longer is closed, whatever was asked on it before;
//! one that is used in time stays.

use std::time::{Duration, Instant};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::{InProcess, Setup},
    socket::Socket,
    within,
};

const IDLE: Duration = Duration::from_millis(1_500);
const SOON: Duration = Duration::from_secs(30);
const POLL: &str = "/api/commission/list?since=0";

async fn start() -> InProcess {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let idle = i64::try_from(IDLE.as_millis()).unwrap();
    InProcess::start(&Setup::new(&database, "a").set("server.idle_timeout_ms", idle)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_nothing_more_is_let_go() {
    let gateway = start().await;
    for requests in [0, 1, 3] {
        let mut socket = Socket::connect(&gateway.client.public).await;
        for _ in 0..requests {
            socket.send(POLL).await;
            socket.answer().await;
        }
        let idle = Instant::now();
        within("the connection is closed", SOON, socket.end()).await;
        let waited = idle.elapsed();
        assert!(
            waited > IDLE * 9 / 10,
            "after {requests} requests {waited:?}"
        );
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_ends_the_head_of_a_request_is_let_go() {
    let gateway = start().await;
    let mut socket = Socket::connect(&gateway.client.public).await;
    socket.send(POLL).await;
    socket.answer().await;
    socket
        .send_raw(b"GET /api/commission/list HTTP/1.1\r\nHost: lo")
        .await;
    within("the connection is closed", SOON, socket.end()).await;
    gateway.stop().await;
}

/// Over several spans, so that the alarm of the first one goes off while the connection is in use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_again_in_time_stays() {
    let gateway = start().await;
    let mut socket = Socket::connect(&gateway.client.public).await;
    let begun = Instant::now();
    let mut answers = 0;
    while begun.elapsed() < 3 * IDLE {
        socket.send(POLL).await;
        socket.answer().await;
        answers += 1;
    }
    println!("{answers} answers on one connection");
    within("the connection is closed", SOON, socket.end()).await;
    gateway.stop().await;
}
