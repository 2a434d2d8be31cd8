//! A gateway as its users have it: in this process, or as the real program in one of its own.
//!
//! Both listen on free ports, read the same configuration file, and are spoken to over HTTP only.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use changeover::{
    config::{self, SourceFile, Sources},
    runtime::{Abort, Gateway, Options, RunError},
};
use http::{HeaderMap, StatusCode};
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    database::DatabaseUnderTest,
    eventually, folder,
    process::Process,
    token::{self, Http},
};

/// How long a gateway may take to get ready. Generous: the machine may be busy.
pub const START: Duration = Duration::from_mins(1);

/// The module of the tests. Its clients ask `GET /api/commission/list?since=41&uid=u1&size=50`.
pub const MODULE: &str = "commission";

const MODULES: &str = r#"
[[modules]]
name = "commission"
[modules.poll]
path     = "/api/commission/list"
methods  = ["GET", "POST"]
cursor   = { in = "query", name = "since", kind = "position" }
audience = { in = "query", name = "uid" }
client   = { in = "header", name = "X-Terminal" }
limit    = { in = "query", name = "size", default = 1000, max = 20000 }
[modules.poll.response]
body  = '{"list":"$changes","since":"$cursor","more":"$has_more"}'
item  = '{"key":"$key","op":"$op","seq":"$position","previous":"$previous","audience":"$audience","id":"$change_id","body":"$value"}'
error = '{"code":"$status","msg":"$message"}'
[modules.sunset]
at   = 2030-01-01T00:00:00Z
link = "https://example.com/commission-over-mqtt"

[[modules]]
name = "notices"
"#;

/// What a gateway is configured with: a file, and keys that are set beside it.
#[derive(Debug, Clone)]
pub struct Setup {
    instance: String,
    database: String,
    modules: String,
    keys: Vec<(String, String)>,
    before: Vec<String>,
    arguments: Vec<String>,
}

impl Setup {
    /// A replica named `instance` on `database`, with the embedded broker, and the modules
    /// `commission`, which has a poll, and `notices`, which has none.
    pub fn new(database: &DatabaseUnderTest, instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            database: database.config.url.clone(),
            modules: MODULES.to_owned(),
            keys: Vec::new(),
            before: Vec::new(),
            arguments: Vec::new(),
        }
        .set("database.connections", "4")
        // Most tests are about what comes after a step: those about gates switch them on.
        .set("gates.enforce", "false")
    }

    /// Sets one key, as `--set` does: not for keys inside of lists.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and texts are handed over as they are written"
    )]
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.keys.push((key.to_owned(), value.to_string()));
        self
    }

    /// Serves these modules, `[[modules]]` tables in TOML, instead of the two.
    pub fn modules(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.modules);
        self
    }

    /// Mirrors to a broker of its own instead of the embedded one.
    pub fn target(self, url: &str) -> Self {
        self.add(&format!(
            "\n[[mqtt.targets]]\nname = \"local\"\nurl = \"{url}\"\n"
        ))
    }

    /// Runs beside others: mirrors to a broker that is away, since an embedded one is for a replica that is alone. No guard minds that.
    pub fn among_others(self) -> Self {
        self.target("mqtt://127.0.0.1:1")
            .unmoved()
            .set("guard.enabled", false)
    }

    /// Asks no other replica for modules.
    pub fn unmoved(self) -> Self {
        self.set("sequencer.even_out_after_ms", 3_600_000)
    }

    /// Starts the program through other ones, which must hand over to it with `exec`.
    pub fn through(mut self, commands: &[&str]) -> Self {
        self.before = commands.iter().copied().map(str::to_owned).collect();
        self
    }

    /// Gives `serve` an argument.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Adds tables to the file, modules for instance.
    pub fn add(mut self, toml: &str) -> Self {
        self.modules.push_str(toml);
        self
    }

    fn toml(&self) -> String {
        let mut text = format!(
            "[server]\npublic = \"127.0.0.1:0\"\nprivate = \"127.0.0.1:0\"\ninstance = \"{}\"\n\
             [database]\nurl = \"{}\"\n[log]\nformat = \"json\"\n{}",
            self.instance, self.database, self.modules
        );
        if !text.contains("[[mqtt.targets]]") {
            let embedded =
                "\n[[mqtt.targets]]\nname = \"local\"\nurl = \"embedded://127.0.0.1:0\"\n";
            text.push_str(embedded);
        }
        text
    }

    fn asks_over_tls(&self, listener: &str) -> bool {
        let table = format!("server.{listener}_tls.");
        self.keys.iter().any(|(key, _)| key.starts_with(&table))
    }

    /// Writes the file into a new folder.
    pub fn write(&self) -> PathBuf {
        let file = folder::fresh("gateway").join("changeover.toml");
        fs::write(&file, self.toml()).unwrap();
        token::provision(&Self::token_file(&file));
        file
    }

    /// Where the gateway of a configuration file finds its first token.
    pub fn token_file(file: &Path) -> PathBuf {
        file.with_file_name("admin.token")
    }

    /// What is set beside the file: its token first, which a test may set otherwise.
    fn keys(&self, file: &Path) -> Vec<(String, String)> {
        let token = Self::token_file(file).display().to_string();
        let mut keys = vec![("auth.admin_token_file".to_owned(), token)];
        keys.extend_from_slice(&self.keys);
        keys
    }

    fn load(&self) -> config::Config {
        let file = self.write();
        let sources = Sources {
            overrides: self.keys(&file),
            file: SourceFile::Named(file),
            environment: Vec::new(),
        };
        config::load_to_serve(&sources, |_, _| {}).unwrap_or_else(|why| panic!("{why}"))
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// Its body, which must be JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    /// A header's text; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// One page of the poll of `commission`.
#[derive(Debug)]
pub struct Page {
    pub items: Vec<Value>,
    pub cursor: u64,
    pub more: bool,
}

/// Speaks to a gateway. Cheap to clone; keeps its connections.
#[derive(Debug, Clone)]
pub struct Client {
    pub http: Http,
    pub public: String,
    pub private: String,
}

impl Client {
    fn new(public: &str, private: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(START);
        Self {
            http: Http(http.build().unwrap()),
            public: format!("http://{public}"),
            private: format!("http://{private}"),
        }
    }

    /// Sends a request. An error means that no answer came.
    pub async fn try_send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await?,
        })
    }

    /// Sends a request, which must be answered.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap()
    }

    /// `GET` on the private listener.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.http.get(format!("{}{path}", self.private)))
            .await
    }

    /// `POST` of JSON on the private listener.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.http.post(format!("{}{path}", self.private));
        self.send(request.json(body)).await
    }

    /// Hands changes of `commission` to the gateway. An error means that no answer came: whether they
    /// are stored is unknown.
    pub async fn try_ingest(&self, body: &Value) -> reqwest::Result<Answer> {
        let path = format!("{}/v1/modules/{MODULE}/changes", self.private);
        self.try_send(self.http.post(path).json(body)).await
    }

    /// Hands changes of `commission` to the gateway, which must accept them.
    pub async fn ingest(&self, body: &Value) {
        let answer = self.try_ingest(body).await.unwrap();
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    }

    /// `GET /api/commission/list?{query}`.
    pub async fn try_poll(&self, query: &str) -> reqwest::Result<Answer> {
        let url = format!("{}/api/commission/list?{query}", self.public);
        self.try_send(self.http.get(url)).await
    }

    /// A page after `since`, for everyone's audience.
    pub async fn page(&self, since: u64, size: u64) -> Page {
        let query = format!("since={since}&size={size}");
        let answer = self.try_poll(&query).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let body = answer.json();
        Page {
            items: body["list"].as_array().unwrap().clone(),
            cursor: body["since"].as_u64().unwrap(),
            more: body["more"].as_bool().unwrap(),
        }
    }

    /// Pages after `since` until there is no more. The cursors must move forward only.
    pub async fn pages(&self, mut since: u64, size: u64) -> (Vec<Value>, u64) {
        let mut items = Vec::new();
        loop {
            let page = self.page(since, size).await;
            assert!(page.cursor >= since, "{} after {since}", page.cursor);
            assert!(!page.more || page.cursor > since, "more, but not farther");
            items.extend(page.items);
            since = page.cursor;
            if !page.more {
                return (items, since);
            }
        }
    }

    /// Waits until a poll from `since` has brought `count` items, and returns all that it brought.
    pub async fn items(&self, since: u64, count: usize, patience: Duration) -> Vec<Value> {
        let what = format!("{count} changes after {since}");
        eventually(&what, patience, async || {
            let (items, _) = self.pages(since, 5_000).await;
            (items.len() >= count).then_some(items)
        })
        .await
    }

    /// What the admin API says of `commission`.
    pub async fn module(&self) -> Value {
        let answer = self.get(&format!("/admin/v1/modules/{MODULE}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    }

    /// Status and body of `readyz`; nothing if the listener does not answer.
    pub async fn ready(&self) -> Option<(StatusCode, Value)> {
        let request = self.http.get(format!("{}/readyz", self.private));
        let answer = self.try_send(request).await.ok()?;
        Some((answer.status, answer.json()))
    }
}

/// A gateway in this process.
pub struct InProcess {
    pub client: Client,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), RunError>>,
}

impl InProcess {
    /// Starts it and waits until it is ready.
    pub async fn start(setup: &Setup) -> Self {
        Self::try_start(setup)
            .await
            .unwrap_or_else(|why| panic!("{why}"))
    }

    /// The same, or why it cannot be started.
    pub async fn try_start(setup: &Setup) -> Result<Self, String> {
        let options = Options { migrate: true };
        let gateway = Gateway::start(setup.load(), options).await;
        let gateway = gateway.map_err(|error| error.to_string())?;
        let at = gateway.addresses();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(gateway.run(async {
            // A test that panics ends it too.
            let _ = stopped.await;
            Abort::never()
        }));
        let client = Client::new(&at.public.to_string(), &at.private.to_string());
        until_ready(&client).await;
        Ok(Self {
            client,
            stop,
            running,
        })
    }

    /// Why it cannot be started.
    pub async fn refused(setup: &Setup) -> String {
        let started = Self::try_start(setup).await;
        started.err().expect("it started")
    }

    /// Ends it in order.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap();
    }
}

async fn until_ready(client: &Client) {
    eventually("the gateway is ready", START, async || {
        let (status, _) = client.ready().await?;
        (status == StatusCode::OK).then_some(())
    })
    .await;
}

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

/// One statement that inserts a change of `commission`, as a producer writes it.
pub fn insert(key: &str, value: &str) -> String {
    format!(
        "INSERT INTO outbox (module, entity_key, value) VALUES ('{MODULE}', '{key}', '{value}')"
    )
}

/// The keys of polled items.
pub fn keys(items: &[Value]) -> Vec<String> {
    let key = |item: &Value| item["key"].as_str().unwrap().to_owned();
    items.iter().map(key).collect()
}

/// Polled from the beginning, positions are 1, 2, 3 and so on: nothing lost, nothing twice.
#[track_caller]
pub fn assert_dense(items: &[Value]) {
    for (index, item) in items.iter().enumerate() {
        assert_eq!(item["seq"], index + 1, "a hole or a repeat in the log");
    }
}
