//! The program `changeover`, in a process of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{
    START, Setup,
    client::{Client, until_ready},
};
use crate::support::{database::DatabaseUnderTest, eventually, process::Process, token};

/// The program `changeover serve`, running or not. It ends with this value, and with the test binary.
pub struct Program {
    pub client: Client,
    /// Where the embedded broker takes MQTT.
    pub mqtt: Option<String>,
    setup: Setup,
    file: PathBuf,
    starts: u32,
    process: Option<Process>,
}

impl Program {
    /// Starts it and waits until it is ready.
    pub async fn start(setup: &Setup) -> Self {
        let mut program = Self {
            client: Client::new("127.0.0.1:1", "127.0.0.1:1"),
            mqtt: None,
            setup: setup.clone(),
            file: setup.write(),
            starts: 0,
            process: None,
        };
        program.restart().await;
        program
    }

    /// Starts it again after it has ended. It listens on other ports then: see `client` and `mqtt`.
    pub async fn restart(&mut self) {
        self.launch();
        let ready = eventually("the program says ready", START, async || {
            let ended = self.process.as_ref().is_some_and(Process::has_ended);
            assert!(!ended, "it ended: {}", self.log());
            self.said("ready")
        })
        .await;
        let address = |name: &str| ready[name].as_str().map(str::to_owned);
        let (public, private) = (address("public").unwrap(), address("private").unwrap());
        self.client = Client::new(&public, &private);
        if self.setup.asks_over_tls("private") {
            // Only who has a certificate could ask whether it is ready, which it has said.
            self.client.private = format!("https://localhost:{}", port(&private));
            return;
        }
        self.mqtt = address("mqtt").map(|at| format!("mqtt://{at}"));
        until_ready(&self.client).await;
    }

    fn launch(&mut self) {
        assert!(self.process.is_none(), "it runs");
        self.starts += 1;
        let mut command = self.setup.before.clone();
        command.push(program());
        command.extend(["serve", "--config", self.file.to_str().unwrap()].map(str::to_owned));
        command.extend_from_slice(&self.setup.arguments);
        for (key, value) in self.setup.keys(&self.file) {
            command.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        self.process = Some(Process::start_ended_by("KILL", &command, &self.log_file()));
    }

    fn log_file(&self) -> PathBuf {
        self.file.with_extension(format!("log-{}", self.starts))
    }

    /// What it has written since its last start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The first log line with this message since its last start.
    pub fn said(&self, message: &str) -> Option<Value> {
        let log = self.log();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let mut found = lines.filter(|line: &Value| line["message"] == message);
        found.next()
    }

    /// Sends a signal: SIGSTOP pauses it, SIGCONT lets it go on.
    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    /// SIGSTOP. On SQLite not while it holds the lock of the file: then nobody could take over, which is the file's nature and not
    /// the gateway's.
    pub async fn pause(&self, database: &DatabaseUnderTest) {
        self.signal(Signal::SIGSTOP);
        if database.is_server() {
            return;
        }
        let mut producer = database.producer().await;
        producer.execute("PRAGMA busy_timeout = 300").await;
        while producer.try_execute("BEGIN IMMEDIATE").await.is_err() {
            self.signal(Signal::SIGCONT);
            tokio::task::yield_now().await;
            self.signal(Signal::SIGSTOP);
        }
        producer.execute("ROLLBACK").await;
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let process = self.process.take().expect("it runs");
        process.end(Signal::SIGKILL);
    }

    /// SIGTERM. Returns the exit code, and how long it took.
    pub async fn terminate(&mut self) -> (i32, Duration) {
        let began = Instant::now();
        self.signal(Signal::SIGTERM);
        (self.ended().await, began.elapsed())
    }

    /// Waits until it has ended by itself. Returns the exit code.
    pub async fn ended(&mut self) -> i32 {
        let process = self.process.take().expect("it runs");
        eventually("the program ends", START, async || {
            process.has_ended().then_some(())
        })
        .await;
        process.exit_code()
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        self.process.as_ref().expect("it runs").id()
    }
}

/// The program that was built with the tests, or for long runs the one that `CHANGEOVER_TEST_PROGRAM` names.
fn program() -> String {
    let named = std::env::var("CHANGEOVER_TEST_PROGRAM").ok();
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_changeover").to_owned())
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap()
}

/// Runs the program with these arguments and `--url`, as an operator would.
pub async fn changeover(client: &Client, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(arguments).args(["--url", &client.private]);
    command.current_dir(Path::new("/")).env("USER", "tester");
    command.env(token::VARIABLE, token::admin());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}
