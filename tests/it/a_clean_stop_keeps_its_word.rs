//! SIGTERM: no new traffic, what is under way is finished, the mirror's cursor is written, exit code 0. And the
//! other ways to end, or not even to begin, each with a code and a message that help.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    database::DatabaseUnderTest,
    eventually, folder,
    gateway::{InProcess, MODULE, Program, Setup, assert_dense},
    token, within,
};

const SOON: Duration = Duration::from_secs(30);

crate::on_each_database!(
    requests_under_way_are_finished_and_new_ones_refused,
    the_mirrors_cursor_is_written,
    a_request_that_does_not_end_is_cut_off,
    a_second_signal_aborts,
    no_migrate_refuses_a_fresh_database,
);

async fn requests_under_way_are_finished_and_new_ones_refused(database: DatabaseUnderTest) {
    let mut gateway = Program::start(&Setup::new(&database, "a")).await;
    let private = address(&gateway.client.private);
    let body = r#"{"key":"under way","value":1}"#;
    let mut ingest = HalfRequest::begin(&private, &ingest_head(body.len()), &body[..10]);
    let mut ready = HalfRequest::begin(&private, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n", "");
    gateway.client.ready().await.unwrap();

    let began = Instant::now();
    gateway.signal(Signal::SIGTERM);
    eventually("nobody listens any more", SOON, async || {
        TcpStream::connect(&private).is_err().then_some(())
    })
    .await;
    let (status, body_of_ready) = ready.end("\r\n");
    assert_eq!(status, 503);
    assert_eq!(body_of_ready["status"], "stopping");
    assert!(gateway.said("stopped").is_none());
    assert_eq!(ingest.end(&body[10..]), (202, json!({"accepted": 1})));
    let code = within("it ends", SOON, gateway.ended()).await;
    assert_eq!(code, 0, "{}", gateway.log());
    assert!(began.elapsed() < Duration::from_secs(10), "server.drain_ms");

    let gateway = InProcess::start(&Setup::new(&database, "b")).await;
    let all = gateway.client.items(0, 1, SOON).await;
    assert_eq!(all[0]["key"], "under way");
    gateway.stop().await;
}

async fn the_mirrors_cursor_is_written(database: DatabaseUnderTest) {
    // Left to itself it would be written much later.
    let setup = Setup::new(&database, "a")
        .set("mirror.cursor_ms", 60_000)
        .set("mirror.cursor_acks", 1_000_000)
        .set("mirror.settle_ms", 100);
    let mut gateway = Program::start(&setup).await;
    let changes: Vec<_> = (0..500)
        .map(|n| json!({"key": format!("{n}"), "value": n}))
        .collect();
    gateway.client.ingest(&json!(changes)).await;
    eventually("the broker has acknowledged all", SOON, async || {
        let module = gateway.client.module().await;
        (module["targets"][0]["position"] == 500).then_some(())
    })
    .await;
    let (code, took) = gateway.terminate().await;
    assert_eq!(code, 0, "{}", gateway.log());
    println!("it took {took:?}");
    assert!(took < Duration::from_secs(10), "server.drain_ms: {took:?}");
    let cursor =
        format!("SELECT CAST(position AS TEXT) FROM mirror_cursor WHERE module = '{MODULE}'");
    let head = format!("SELECT CAST(head AS TEXT) FROM module_head WHERE module = '{MODULE}'");
    assert_eq!(database.text(&head).await.as_deref(), Some("500"));
    assert_eq!(database.text(&cursor).await.as_deref(), Some("500"));
    assert!(gateway.said("stopped").is_some());

    gateway.restart().await;
    gateway
        .client
        .ingest(&json!({"key": "next", "value": 1}))
        .await;
    assert_dense(&gateway.client.items(0, 501, SOON).await);
}

async fn a_request_that_does_not_end_is_cut_off(database: DatabaseUnderTest) {
    let setup = Setup::new(&database, "a")
        .set("server.drain_ms", 16_000)
        .set("mirror.drain_ms", 200);
    let mut gateway = Program::start(&setup).await;
    let private = address(&gateway.client.private);
    let _held = HalfRequest::begin(&private, &ingest_head(100), "{");
    gateway.client.ready().await.unwrap();
    let (code, took) = gateway.terminate().await;
    assert_eq!(code, 0, "{}", gateway.log());
    assert!(
        (Duration::from_secs(7)..Duration::from_secs(16)).contains(&took),
        "half of server.drain_ms: {took:?}"
    );
    let cut = gateway.said("connections that did not end were cut off");
    assert_eq!(cut.unwrap()["connections"], 1);
    let held = "SELECT lease_holder FROM module_head WHERE lease_holder IS NOT NULL";
    assert_eq!(database.text(held).await, None);
}

async fn a_second_signal_aborts(database: DatabaseUnderTest) {
    let mut gateway =
        Program::start(&Setup::new(&database, "a").set("server.drain_ms", 60_000)).await;
    let private = address(&gateway.client.private);
    let _held = HalfRequest::begin(&private, &ingest_head(100), "{");
    gateway.client.ready().await.unwrap();
    gateway.signal(Signal::SIGTERM);
    eventually("it says that it stops", SOON, async || {
        gateway.said("stopping")
    })
    .await;
    let began = Instant::now();
    let (code, _) = gateway.terminate().await;
    assert_eq!(code, 1);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert!(gateway.log().contains("second signal"), "{}", gateway.log());
}

async fn no_migrate_refuses_a_fresh_database(database: DatabaseUnderTest) {
    let setup = Setup::new(&database, "a");
    let file = setup.write().display().to_string();
    let (code, said) = run(&["serve", "--no-migrate", "--config", &file]);
    assert_eq!(code, 1);
    assert!(
        said.contains("changeover migrate") && said.contains("--no-migrate"),
        "{said}"
    );
    let (code, said) = run(&["migrate", "--config", &file]);
    assert_eq!(code, 0, "{said}");
    let mut gateway = Program::start(&setup.argument("--no-migrate")).await;
    assert_eq!(gateway.terminate().await.0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_names_its_key() {
    let database = DatabaseUnderTest::fresh(crate::support::database::Kind::Sqlite)
        .await
        .unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let file = Setup::new(&database, "a").write().display().to_string();
    for key in ["server.public", "server.private"] {
        let (code, said) = run(&["serve", "--config", &file, "--set", &format!("{key}={at}")]);
        assert_eq!(code, 1);
        assert!(
            said.contains(key) && said.contains(&at.to_string()),
            "{said}"
        );
        assert!(!said.contains("\"ready\""), "{said}");
    }
    let setup = Setup::new(&database, "a").target(&format!("embedded://{at}"));
    let file = setup.write().display().to_string();
    let (code, said) = run(&["serve", "--config", &file]);
    assert_eq!(code, 1);
    assert!(
        said.contains("mqtt.targets") && said.contains(&at.to_string()),
        "{said}"
    );
}

#[test]
fn a_wrong_configuration_exits_with_64_and_names_every_key() {
    let file = folder::fresh("wrong").join("changeover.toml");
    let wrong =
        "[server]\npubic = \"127.0.0.1:0\"\ndrain_ms = 0\n[database]\nurl = \"oracle://x\"\n";
    std::fs::write(&file, wrong).unwrap();
    for command in ["serve", "check"] {
        let (code, said) = run(&[command, "--config", file.to_str().unwrap()]);
        assert_eq!(code, 64, "{said}");
        for key in ["server.pubic", "server.drain_ms", "database.url"] {
            assert!(said.contains(key), "{key} in {said}");
        }
    }
    assert_eq!(
        run(&["serve", "--config", "/nowhere/changeover.toml"]).0,
        64
    );
    assert_eq!(run(&["sevre"]).0, 64);
}

/// Runs the program to its end. Returns the exit code and all that it said.
fn run(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_changeover"))
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

fn address(url: &str) -> String {
    url.strip_prefix("http://").unwrap().to_owned()
}

fn ingest_head(length: usize) -> String {
    format!(
        "POST /v1/modules/{MODULE}/changes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\nContent-Length: {length}\r\n\r\n",
        token::admin()
    )
}

/// A request of which the last part is still to come.
struct HalfRequest(TcpStream);

impl HalfRequest {
    fn begin(address: &str, head: &str, body: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
            .write_all(format!("{head}{body}").as_bytes())
            .unwrap();
        Self(stream)
    }

    /// Sends the rest. Returns the status and the body.
    fn end(&mut self, rest: &str) -> (u16, Value) {
        self.0.write_all(rest.as_bytes()).unwrap();
        let mut answer = String::new();
        self.0.read_to_string(&mut answer).unwrap();
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }
}
