//! A fleet of polling clients: each polls each of its modules at its own fixed moments, whatever the
//! answers take.
//!
//! Invariant: a latency counts from the moment when the poll was due, so a server that is late is
//! not asked less.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::{
    task::JoinSet,
    time::{sleep_until, timeout_at},
};

use crate::{
    connection::{Connection, find},
    histogram::Histogram,
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The server.
    #[arg(long)]
    address: SocketAddr,
    /// Clients, each with one connection; client i is `u<i>`.
    #[arg(long, default_value_t = 5000)]
    clients: u32,
    /// Modules that each polls, at `/api/<module>/list`.
    #[arg(long, value_delimiter = ',')]
    modules: Vec<String>,
    /// Between two polls of a client and module.
    #[arg(long, default_value_t = 1000)]
    interval_ms: u32,
    /// How long.
    #[arg(long)]
    seconds: u32,
}

/// What all clients count together.
struct Counts {
    /// From when a poll was due.
    due: Histogram,
    /// From when it was sent.
    sent: Histogram,
    /// Answers with changes.
    news: AtomicU64,
}

/// Clients that connect at one moment.
const CONNECTING: usize = 64;
/// From the last connection to the first poll.
const PAUSE: Duration = Duration::from_millis(200);

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let counts = Arc::new(Counts {
        due: Histogram::new(),
        sent: Histogram::new(),
        news: AtomicU64::new(0),
    });
    let clients = connected(&arguments).await?;
    let begin = Instant::now() + PAUSE;
    let span = Duration::from_secs(arguments.seconds.into());
    let interval = Duration::from_millis(arguments.interval_ms.into());
    let mut running = JoinSet::new();
    for client in clients {
        let counts = Arc::clone(&counts);
        // Spread evenly over the interval, a client's modules too.
        let phase = interval / arguments.clients * client.number;
        // Each polls for the whole span, so what was due is known exactly.
        let begin = begin + phase;
        running.spawn(client.poll(begin, interval, begin + span, counts));
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    report(&arguments, &counts);
    Ok(())
}

/// All clients, each with a connection and the cursors of its first answers.
async fn connected(arguments: &Arguments) -> anyhow::Result<Vec<Client>> {
    let mut connecting = JoinSet::new();
    let mut clients = Vec::new();
    for number in 0..arguments.clients {
        if connecting.len() >= CONNECTING {
            clients.extend(connecting.join_next().await.transpose()?.transpose()?);
        }
        let modules = arguments.modules.clone();
        connecting.spawn(Client::connect(arguments.address, number, modules));
    }
    while let Some(client) = connecting.join_next().await {
        clients.push(client??);
    }
    Ok(clients)
}

struct Client {
    number: u32,
    connection: Connection,
    modules: Vec<Module>,
}

struct Module {
    name: String,
    cursor: u64,
}

impl Client {
    async fn connect(
        address: SocketAddr,
        number: u32,
        modules: Vec<String>,
    ) -> anyhow::Result<Self> {
        let connection = Connection::open(address).await?;
        let modules = modules.into_iter().map(|name| Module { name, cursor: 0 });
        let mut client = Self {
            number,
            connection,
            modules: modules.collect(),
        };
        for module in 0..client.modules.len() {
            client.ask(module).await?;
            client.hear(module).await?;
        }
        Ok(client)
    }

    /// Polls the modules in turns, evenly spread over the interval, until the end.
    async fn poll(
        mut self,
        begin: Instant,
        interval: Duration,
        end: Instant,
        counts: Arc<Counts>,
    ) -> anyhow::Result<()> {
        let turns = u32::try_from(self.modules.len())?;
        for turn in 0.. {
            let due = begin + interval * turn / turns;
            if due >= end {
                break;
            }
            sleep_until(due.into()).await;
            if Instant::now() >= end {
                break;
            }
            let module = (turn % turns) as usize;
            let sent = Instant::now();
            self.ask(module).await?;
            // What is still not answered then counts as not answered.
            let Ok(news) = timeout_at(end.into(), self.hear(module)).await else {
                break;
            };
            counts.due.count(due.elapsed());
            counts.sent.count(sent.elapsed());
            counts.news.fetch_add(u64::from(news?), Relaxed);
        }
        Ok(())
    }

    async fn ask(&mut self, module: usize) -> anyhow::Result<()> {
        let Module { name, cursor } = &self.modules[module];
        let path = format!(
            "/api/{name}/list?since={cursor}&uid=u{}&size=100",
            self.number
        );
        self.connection.ask(&path).await
    }

    /// Takes the answer's cursor; says whether there were changes.
    async fn hear(&mut self, module: usize) -> anyhow::Result<bool> {
        let body = self.connection.answer().await?;
        let since = br#""since":"#;
        // Values of this load do not hold it, and it stands behind them.
        let at = find(body, since).context("an answer without a cursor")?;
        let digits = body[at + since.len()..].iter();
        let digits = digits.take_while(|byte| byte.is_ascii_digit());
        let cursor = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
        self.modules[module].cursor = cursor;
        Ok(find(body, br#""id":"#).is_some())
    }
}

/// One line: polls due a second, answered a second, answers with changes a second; p50, p99 and the maximum from
/// when a poll was due, p50 and p99 from when it was sent, in milliseconds.
fn report(arguments: &Arguments, counts: &Counts) {
    let per_second = |count: f64| count / f64::from(arguments.seconds);
    let each = f64::from(arguments.clients) * 1000.0 / f64::from(arguments.interval_ms);
    let modules = u32::try_from(arguments.modules.len()).unwrap_or(u32::MAX);
    #[expect(clippy::cast_precision_loss, reason = "counts below 2^52")]
    let (answered, news) = (counts.due.len() as f64, counts.news.load(Relaxed) as f64);
    println!(
        "{:.0} {:.0} {:.1} {:.2} {:.2} {:.2} {:.2} {:.2}",
        each * f64::from(modules),
        per_second(answered),
        per_second(news),
        counts.due.millis_at(500),
        counts.due.millis_at(990),
        counts.due.millis_at(1000),
        counts.sent.millis_at(500),
        counts.sent.millis_at(990),
    );
}
