//! `changeover module get M --watch`: drawn in place on a real terminal, which is given back; it goes on while the gateway is
//! away. Without a terminal it writes a line for each look.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use http::StatusCode;
use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::{InProcess, MODULE, Program, Setup},
    process::{free_port, wait_until},
    pty::Pty,
    token,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_changeover");

/// What a terminal is told to do once, when it gets a size, and never again.
const CLEAR: &str = "\u{1b}[2J";

/// Watches through a shell, which tells how it ended and what became of the terminal.
fn watch(url: &str, rows: u16, columns: u16) -> Pty {
    let script = format!(
        "echo before; {PROGRAM} module get {MODULE} --watch --url {url}; echo \"ended with $?\"; stty -a; read line"
    );
    Pty::start(&["sh", "-c", &script], &[], rows, columns)
}

async fn ramp(gateway: &InProcess, percent: u32) {
    let path = format!("/admin/v1/modules/{MODULE}/ramp");
    let body = json!({"percent": percent, "reason": "edge first"});
    let answer = gateway.client.post(&path, &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

async fn sqlite() -> DatabaseUnderTest {
    DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap()
}

/// The row that shows this.
fn row_of(screen: &str, text: &str) -> usize {
    let row = screen.lines().position(|line| line.contains(text));
    row.unwrap_or_else(|| panic!("no {text} in\n{screen}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_drawn_in_place_and_the_terminal_is_given_back() {
    let gateway = InProcess::start(&Setup::new(&sqlite().await, "gw-1")).await;
    let mut terminal = watch(&gateway.client.private, 40, 100);
    let before = terminal.shows("[mirror]");
    assert!(!terminal.is_given_back(), "it has a screen of its own");
    assert!(
        !before.contains("before"),
        "and shows nothing else\n{before}"
    );

    ramp(&gateway, 25).await;
    let after = terminal.shows("[ramp]");
    assert_eq!(row_of(&before, "[mirror]"), row_of(&after, "[ramp]"));
    assert!(
        after.contains("edge first") && after.contains("25 %"),
        "{after}"
    );
    for key in 0..5 {
        gateway
            .client
            .ingest(&json!({"key": key.to_string(), "value": 1}))
            .await;
    }
    let bars = |screen: &str| {
        let line = screen.lines().find(|line| line.starts_with("changes/s"));
        line.is_some_and(|line| line.contains('█'))
    };
    terminal.until("changes as a sparkline", bars);
    assert_eq!(terminal.count(CLEAR), 1, "only what has changed is written");

    terminal.resize(12, 50);
    let narrow = terminal.until("what fits", |screen| screen.contains("more lines"));
    assert!(narrow.contains("[ramp]"), "{narrow}");
    terminal.resize(40, 120);
    terminal.until("everything", |screen| {
        screen.contains("LISTENING") && !screen.contains("more lines")
    });
    // `stty` sets rows and columns one after the other.
    let clears = terminal.count(CLEAR);
    assert!((3..=5).contains(&clears), "{clears}: once for each size");

    terminal.types("\u{3}");
    let given_back = terminal.shows("ended with 0");
    assert!(terminal.is_given_back());
    assert!(given_back.contains("before"), "{given_back}");
    let modes = terminal.shows("icanon");
    assert!(
        !modes.contains("-icanon") && !modes.contains("-echo ") && !modes.contains("-isig"),
        "{modes}"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_that_the_gateway_is_away_and_goes_on() {
    let port = free_port();
    let setup =
        Setup::new(&sqlite().await, "gw-1").set("server.private", format!("127.0.0.1:{port}"));
    let mut gateway = Program::start(&setup).await;
    let mut terminal = watch(&gateway.client.private, 40, 100);
    terminal.shows("[mirror]");
    gateway.terminate().await;
    let away = terminal.shows("the gateway is away since");
    assert!(away.contains("[mirror]"), "what was known last\n{away}");
    gateway.restart().await;
    terminal.until("that it is back", |screen| {
        screen.contains("[mirror]") && !screen.contains("is away")
    });
    terminal.types("q");
    terminal.shows("ended with 0");
    assert!(terminal.is_given_back());
    gateway.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_gives_the_terminal_back_too() {
    let gateway = InProcess::start(&Setup::new(&sqlite().await, "gw-1")).await;
    let url = &gateway.client.private;
    let command = [PROGRAM, "module", "get", MODULE, "--watch", "--url", url];
    let terminal = Pty::start(&command, &[], 40, 100);
    terminal.shows("[mirror]");
    terminal.signal(nix::sys::signal::Signal::SIGTERM);
    wait_until("the terminal is given back", || terminal.is_given_back());
    assert!(terminal.ended().success());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_terminal_it_writes_plain_lines_until_nobody_reads_them() {
    let gateway = InProcess::start(&Setup::new(&sqlite().await, "gw-1")).await;
    let url = gateway.client.private.clone();
    let watched = tokio::task::spawn_blocking(move || {
        let mut child = Command::new(PROGRAM)
            .args(["module", "get", MODULE, "--watch", "--url", &url])
            .env(token::VARIABLE, token::admin())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines: Vec<_> = (0..2).map(|_| output.next().unwrap().unwrap()).collect();
        drop(output);
        let code = child.wait().unwrap().code();
        let mut said = String::new();
        child.stderr.unwrap().read_to_string(&mut said).unwrap();
        (lines, code, said)
    });
    let (lines, code, said) = watched.await.unwrap();
    for line in lines {
        assert!(
            line.contains("commission  mirror  in force mirror"),
            "{line}"
        );
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
    assert_eq!((code, said.as_str()), (Some(0), ""));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colours_are_for_terminals_that_want_them() {
    let gateway = InProcess::start(&Setup::new(&sqlite().await, "gw-1")).await;
    let url = &gateway.client.private;
    let command = [PROGRAM, "module", "list", "--url", url];
    let bold = "\u{1b}[1m";
    let terminal = |environment: &[(&str, &str)]| {
        let terminal = Pty::start(&command, environment, 24, 80);
        let list = terminal.shows("notices");
        assert!(list.contains("MODULE"), "{list}");
        terminal.count(bold)
    };
    assert!(terminal(&[]) > 0);
    assert_eq!(terminal(&[("NO_COLOR", "1")]), 0);
    assert_eq!(terminal(&[("TERM", "dumb")]), 0);
    gateway.stop().await;
}
