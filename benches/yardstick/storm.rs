//! A reconnect storm: every client at once asks for its session, and a broker asks the gateway who each is and what it may subscribe
//! to, while others go on polling.
//!
//! The polls keep their own moments, so a gateway that is busy with the storm is not asked less.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::Barrier,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{connection::Connection, histogram::Histogram};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The gateway's public listener.
    #[arg(long)]
    public: SocketAddr,
    /// Its private one.
    #[arg(long)]
    private: SocketAddr,
    /// Where its hooks are: `/broker/<secret>`.
    #[arg(long)]
    hooks: String,
    /// A token a line; a client for each.
    #[arg(long)]
    tokens: PathBuf,
    /// What is polled meanwhile, with the first token.
    #[arg(long)]
    poll: String,
    /// Polls a second.
    #[arg(long, default_value_t = 1000)]
    polls: u32,
}

/// Connections that poll.
const POLLERS: u32 = 20;

/// How long polls are measured before the storm.
const CALM: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Session {
    mqtt: Login,
    modules: std::collections::BTreeMap<String, Module>,
}

#[derive(Deserialize)]
struct Login {
    client_id: String,
    username: String,
    password: String,
}

#[derive(Deserialize)]
struct Module {
    topics: Vec<String>,
}

/// One line: seconds of the storm, clients, p50 and p99 of a client in ms; p50, p99 and the maximum of a poll before the storm, and
/// the same in it.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let tokens = fs::read_to_string(&arguments.tokens)?;
    let tokens: Vec<Arc<str>> = tokens.lines().map(Arc::from).collect();
    let first = tokens.first().context("there are no tokens")?;
    let (calm, storm) = (Arc::new(Histogram::new()), Arc::new(Histogram::new()));
    let storms = Arc::new(AtomicBool::new(false));
    let ended = Arc::new(AtomicBool::new(false));
    let mut pollers = JoinSet::new();
    for _ in 0..POLLERS {
        pollers.spawn(poll(
            (arguments.public, arguments.poll.clone(), Arc::clone(first)),
            Duration::from_secs(1) * POLLERS / arguments.polls,
            (Arc::clone(&calm), Arc::clone(&storm)),
            (Arc::clone(&storms), Arc::clone(&ended)),
        ));
    }
    tokio::time::sleep(CALM).await;
    storms.store(true, Relaxed);
    let begun = Instant::now();
    let each = clients(&arguments, &tokens).await?;
    let took = begun.elapsed();
    ended.store(true, Relaxed);
    while let Some(poller) = pollers.join_next().await {
        poller??;
    }
    let of = |histogram: &Histogram| {
        let at = |per_mille| histogram.millis_at(per_mille);
        format!("{:.2} {:.2} {:.2}", at(500), at(990), at(1000))
    };
    println!(
        "{:.2} {} {:.1} {:.1} {} {}",
        took.as_secs_f64(),
        each.len(),
        each.millis_at(500),
        each.millis_at(990),
        of(&calm),
        of(&storm)
    );
    Ok(())
}

/// All of them at once.
async fn clients(arguments: &Arguments, tokens: &[Arc<str>]) -> anyhow::Result<Arc<Histogram>> {
    let took = Arc::new(Histogram::new());
    let start = Arc::new(Barrier::new(tokens.len()));
    let mut running = JoinSet::new();
    for (number, token) in tokens.iter().enumerate() {
        let (public, private) = (arguments.public, arguments.private);
        let (token, hooks) = (Arc::clone(token), arguments.hooks.clone());
        let (took, start) = (Arc::clone(&took), Arc::clone(&start));
        running.spawn(async move {
            start.wait().await;
            let begun = Instant::now();
            let session = session(public, number, &token).await?;
            admitted(private, &hooks, &session).await?;
            took.count(begun.elapsed());
            anyhow::Ok(())
        });
    }
    while let Some(client) = running.join_next().await {
        client??;
    }
    Ok(took)
}

async fn session(public: SocketAddr, number: usize, token: &str) -> anyhow::Result<Session> {
    let mut connection = Connection::open(public).await?;
    let body = json!({"client_id": format!("u{number}")}).to_string();
    let head = format!("Authorization: Bearer {token}\r\n");
    connection.post("/v1/session", &head, &body).await?;
    Ok(serde_json::from_slice(connection.answer().await?)?)
}

/// What EMQX asks when a client connects, and for each topic that it subscribes to.
async fn admitted(private: SocketAddr, hooks: &str, session: &Session) -> anyhow::Result<()> {
    let mut connection = Connection::open(private).await?;
    let Login {
        client_id,
        username,
        password,
    } = &session.mqtt;
    let login = json!({"username": username, "password": password, "clientid": client_id, "peerhost": "127.0.0.1"});
    allowed(
        &mut connection,
        &format!("{hooks}/emqx/authenticate"),
        &login,
    )
    .await?;
    for topic in session.modules.values().flat_map(|module| &module.topics) {
        let subscribe = json!({"username": username, "clientid": client_id, "topic": topic, "action": "subscribe", "qos": 1, "retain": false, "peerhost": "127.0.0.1"});
        allowed(
            &mut connection,
            &format!("{hooks}/emqx/authorize"),
            &subscribe,
        )
        .await?;
    }
    Ok(())
}

async fn allowed(connection: &mut Connection, path: &str, asked: &Value) -> anyhow::Result<()> {
    connection.post(path, "", &asked.to_string()).await?;
    let answer: Value = serde_json::from_slice(connection.answer().await?)?;
    ensure!(answer["result"] == "allow", "{path} answered {answer}");
    Ok(())
}

/// Polls at its own moments until the end of the storm.
async fn poll(
    (public, path, token): (SocketAddr, String, Arc<str>),
    every: Duration,
    (calm, storm): (Arc<Histogram>, Arc<Histogram>),
    (storms, ended): (Arc<AtomicBool>, Arc<AtomicBool>),
) -> anyhow::Result<()> {
    let mut connection = Connection::open(public).await?;
    let mut moments = interval(every);
    moments.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let head = format!("Authorization: Bearer {token}\r\n");
    while !ended.load(Relaxed) {
        let due = moments.tick().await;
        connection.ask_with(&path, &head).await?;
        connection.answer().await?;
        let counts = if storms.load(Relaxed) { &storm } else { &calm };
        counts.count(due.elapsed());
    }
    Ok(())
}
