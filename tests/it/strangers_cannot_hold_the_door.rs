//! Whoever sends slowly, too much or nothing at all gets an end or a refusal, and others poll on as if nobody else were there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use http::StatusCode;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Client, Program, Setup},
    links::{Files, HERE},
    metrics::metric,
    native::PATIENCE,
    pki::Authority,
    secure::{Trust, shows},
    socket::Socket,
    token, within,
};

const POLL: &str = "/api/commission/list?since=0&uid=u1";
const STRANGERS: u32 = 60;
const HEAD: Duration = Duration::from_secs(2);

/// An answer takes milliseconds; the machine may be busy.
const SOON: Duration = Duration::from_secs(10);

async fn setup() -> Setup {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    Setup::new(&database, "a")
        .set("server.head_timeout_ms", HEAD.as_millis())
        .set("server.body_timeout_ms", 2_000)
        .set("server.idle_timeout_ms", 3_600_000)
}

/// A client that polls over a new connection each time, from an address of its own, and must be answered soon.
struct Neighbour {
    done: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    polling: JoinHandle<()>,
}

impl Neighbour {
    fn start(url: &str, trust: Option<Trust>) -> Self {
        let (done, answers) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (ended, counted, url) = (Arc::clone(&done), Arc::clone(&answers), url.to_owned());
        let polling = tokio::spawn(async move {
            while !ended.load(SeqCst) {
                let begun = Instant::now();
                let head = match &trust {
                    None => {
                        let mut socket = Socket::connect_from("127.0.0.9", &url).await;
                        socket.send(POLL).await;
                        socket.answer().await.0
                    }
                    Some(trust) => {
                        let mut socket = trust.connect(&url).await.unwrap();
                        socket.send(POLL).await;
                        socket.answer().await.0
                    }
                };
                assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
                counted.fetch_add(1, SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Self {
            done,
            answers,
            polling,
        }
    }

    /// It has gone on all the time.
    async fn stop(self) {
        let before = self.answers.load(SeqCst);
        eventually("it polls on", PATIENCE, async || {
            (self.answers.load(SeqCst) > before + 3).then_some(())
        })
        .await;
        self.done.store(true, SeqCst);
        self.polling.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_a_head_byte_by_byte_is_let_go() {
    let gateway = Program::start(&setup().await).await;
    let url = &gateway.client.public;
    let neighbour = Neighbour::start(url, None);
    let mut strangers = Vec::new();
    for n in 0..STRANGERS {
        let mut socket = Socket::connect(url).await;
        // Some have been answered before.
        if n % 2 == 0 {
            socket.send(POLL).await;
            socket.answer().await;
        }
        strangers.push(tokio::spawn(async move {
            let begun = Instant::now();
            let request = format!("GET {POLL} HTTP/1.1\r\nHost: localhost\r\n");
            let endless = "x-more: 1\r\n".bytes().cycle();
            for byte in request.bytes().chain(endless) {
                if socket.try_send(&[byte]).await.is_err() {
                    return begun.elapsed();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            unreachable!("it is endless")
        }));
    }
    for stranger in strangers {
        let took = within("it is let go", PATIENCE, stranger).await.unwrap();
        assert!(took >= HEAD, "{took:?}");
    }
    neighbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_is_answered_408() {
    let gateway = Program::start(&setup().await).await;
    let neighbour = Neighbour::start(&gateway.client.public, None);
    let (public, private) = (&gateway.client.public, &gateway.client.private);
    for (url, path) in [
        (private, "/v1/modules/commission/changes"),
        (private, "/admin/v1/modules/commission/ramp"),
        (public, "/api/commission/list"),
        (public, "/v1/poll"),
        (public, "/v1/session"),
    ] {
        let mut socket = Socket::connect(url).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n[{{",
            token::admin()
        );
        socket.send_raw(head.as_bytes()).await;
        let (head, body) = within("it is answered", PATIENCE, socket.answer()).await;
        assert!(head.starts_with("HTTP/1.1 408"), "{path}: {head}");
        assert!(body.contains("the body did not arrive"), "{path}: {body}");
        within("it is closed", PATIENCE, socket.end()).await;
    }
    neighbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_silent_in_a_handshake_is_let_go() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    // As many places as strangers: to be answered, somebody has to be let go.
    let setup = setup().await.set("server.max_connections", STRANGERS);
    let gateway = Program::start(&shows(setup, "public", &files, &ours.server(&HERE))).await;
    let url = &gateway.client.public;
    let mut strangers = Vec::new();
    for n in 0..STRANGERS {
        let mut socket = Socket::connect(url).await;
        if n % 2 == 0 {
            // The beginning of a handshake that says it is long.
            socket.send_raw(&[0x16, 3, 1, 2, 0, 1]).await;
        }
        strangers.push(socket);
    }
    let trust = Trust::of(&ours);
    let mut socket = within("a place", PATIENCE, trust.connect(url))
        .await
        .unwrap();
    socket.send(POLL).await;
    let (head, _) = socket.answer().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let labels = [("listener", "public"), ("why", "late")];
    eventually("all are let go", PATIENCE, async || {
        let late = metric(
            &gateway.client,
            "changeover_connections_refused_total",
            &labels,
        )
        .await;
        (late > f64::from(STRANGERS) - 0.5).then_some(())
    })
    .await;
    drop(strangers);
    Neighbour::start(url, Some(trust)).stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_so_many_connections_and_no_more() {
    let setup = setup().await.set("server.max_connections_per_address", 20);
    let gateway = Program::start(&setup).await;
    let url = &gateway.client.public;
    let neighbour = Neighbour::start(url, None);
    let mut seated = Vec::new();
    for _ in 0..20 {
        let mut socket = Socket::connect_from("127.0.0.3", url).await;
        socket.send(POLL).await;
        socket.answer().await;
        seated.push(socket);
    }
    for _ in 0..STRANGERS {
        let mut socket = Socket::connect_from("127.0.0.3", url).await;
        within("it is closed", PATIENCE, socket.end()).await;
    }
    let labels = [("listener", "public"), ("why", "address")];
    let refused = metric(
        &gateway.client,
        "changeover_connections_refused_total",
        &labels,
    )
    .await;
    assert!((refused - f64::from(STRANGERS)).abs() < 0.5, "{refused}");
    drop(seated.pop());
    eventually("whoever leaves makes room", PATIENCE, async || {
        let mut socket = Socket::connect_from("127.0.0.3", url).await;
        let request = format!("GET {POLL} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let said = socket.until_the_end(request.as_bytes()).await;
        said.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
    neighbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused() {
    let setup = setup().await.set("server.max_url_bytes", 1_000);
    let gateway = Program::start(&setup).await;
    let neighbour = Neighbour::start(&gateway.client.public, None);
    let (public, private) = (&gateway.client.public, &gateway.client.private);
    let long = "x".repeat(100_000);
    let many = "x-more: 1\r\n".repeat(120);
    for url in [public, private] {
        for (more, status) in [
            (format!("x-long: {long}\r\n"), 431),
            (many.clone(), 431),
            ("x-more: 1\r\n".repeat(90), 200),
        ] {
            let request = format!(
                "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n"
            );
            let mut socket = Socket::connect(url).await;
            let said = socket.until_the_end(request.as_bytes()).await;
            let wanted = format!("HTTP/1.1 {status}");
            assert!(
                said.starts_with(&wanted),
                "{url} {} bytes: {said}",
                more.len()
            );
        }
    }
    let client = &gateway.client;
    let long = "x".repeat(1_000);
    let answer = client.try_poll(&format!("since=0&x={long}")).await.unwrap();
    assert_eq!(answer.status, StatusCode::URI_TOO_LONG);
    assert_eq!(
        answer.json(),
        json!({"code": 414, "msg": "path and query are too long"})
    );
    for (base, path) in [
        (public, "/v1/streams/commission"),
        (private, "/admin/v1/modules"),
    ] {
        let request = client.http.get(format!("{base}{path}?x={long}"));
        let answer = client.send(request).await;
        assert_eq!(answer.status, StatusCode::URI_TOO_LONG, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    neighbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_are_told_to_make_nothing_of_the_private_listener() {
    let gateway = Program::start(&setup().await).await;
    let client = &gateway.client;
    for path in ["/admin/v1/modules", "/metrics", "/nowhere", "/openapi.json"] {
        let answer = told(client, path, "localhost").await;
        for (name, value) in [
            (
                "content-security-policy",
                "default-src 'none'; frame-ancestors 'none'",
            ),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert!(
                answer.contains(&format!("{name}: {value}\r\n")),
                "{path} does not say {name}: {value}\n{answer}"
            );
        }
        assert!(!answer.contains("strict-transport-security"), "{answer}");
    }
    let misdirected = told(client, "/metrics", "evil.example.com").await;
    assert!(misdirected.starts_with("HTTP/1.1 421"), "{misdirected}");
    assert!(misdirected.contains("nosniff"), "{misdirected}");
}

async fn told(client: &Client, path: &str, host: &str) -> String {
    let mut socket = Socket::connect(&client.private).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    socket.until_the_end(request.as_bytes()).await
}
