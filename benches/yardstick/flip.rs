//! From the act of an engineer to everybody who is to know of it: subscribers of the module's retained message, and event streams of
//! flags.
//!
//! All of them are one process, so that one monotonic clock times the start of the command and every arrival.

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use reqwest::Url;
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming, mqttbytes::QoS};
use serde::Deserialize;
use tokio::{process::Command, sync::mpsc, task::JoinSet, time::timeout};

use crate::mqtt;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// `mqtt://host:port`.
    #[arg(long)]
    broker: Url,
    /// First part of the gateway's topics.
    #[arg(long)]
    prefix: String,
    /// The module, at `ramp`.
    #[arg(long)]
    module: String,
    /// Subscribers of its retained message, and as many event streams, each on a connection of its own.
    #[arg(long)]
    clients: usize,
    /// The gateway's public listener.
    #[arg(long)]
    public: Url,
    /// Its private one.
    #[arg(long)]
    private: Url,
    /// The program whose command does the acts.
    #[arg(long)]
    changeover: PathBuf,
    /// Acts that are timed.
    #[arg(long, default_value_t = 20)]
    times: usize,
}

/// Longer than any flip takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Connections that are opened at once.
const AT_ONCE: usize = 100;

type Arrivals = mpsc::UnboundedReceiver<Instant>;

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    // So that each flip tells each client something else. Whoever subscribes before that has arrived would be told twice.
    let (arrived, mut first) = mpsc::unbounded_channel();
    subscribe(&arguments, "first".to_owned(), arrived).await?;
    last_of(&mut first, 1, Instant::now()).await?;
    act(&arguments, "0").await?;
    last_of(&mut first, 1, Instant::now()).await?;
    let (arrived, mut messages) = mpsc::unbounded_channel();
    open_all(arguments.clients, |number| {
        subscribe(&arguments, format!("terminal-{number}"), arrived.clone())
    })
    .await?;
    let (arrived, mut events) = mpsc::unbounded_channel();
    open_all(arguments.clients, |number| {
        watch(arguments.public.clone(), number, arrived.clone())
    })
    .await?;
    // What each is told at its beginning.
    last_of(&mut messages, arguments.clients, Instant::now()).await?;
    last_of(&mut events, arguments.clients, Instant::now()).await?;

    let mut took = [Vec::new(), Vec::new()];
    // The first one warms up.
    for flip in 0..=arguments.times {
        let began = Instant::now();
        act(&arguments, if flip % 2 == 0 { "100" } else { "0" }).await?;
        let heard = [
            last_of(&mut messages, arguments.clients, began).await?,
            last_of(&mut events, arguments.clients, began).await?,
        ];
        if flip > 0 {
            for (all, mut these) in took.iter_mut().zip(heard) {
                all.append(&mut these);
            }
        }
    }
    let figures = took.map(|mut all| {
        all.sort_by(f64::total_cmp);
        let at = |share: usize| all[(all.len() - 1) * share / 100];
        format!("{:.0} {:.0} {:.0}", at(50), at(99), at(100))
    });
    println!("{} {}", figures[0], figures[1]);
    Ok(())
}

async fn act(arguments: &Arguments, percent: &str) -> anyhow::Result<()> {
    let mut command = Command::new(&arguments.changeover);
    command.args(["module", "ramp", &arguments.module, "--percent", percent]);
    command.args(["--reason", "bench", "--url", arguments.private.as_str()]);
    command.stdin(Stdio::null());
    let output = command.output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the act was refused: {said}");
    Ok(())
}

async fn open_all<F: Future<Output = anyhow::Result<()>> + Send + 'static>(
    count: usize,
    open: impl Fn(usize) -> F,
) -> anyhow::Result<()> {
    for begin in (0..count).step_by(AT_ONCE) {
        let mut opening = JoinSet::new();
        for number in begin..(begin + AT_ONCE).min(count) {
            opening.spawn(open(number));
        }
        while let Some(opened) = opening.join_next().await {
            opened??;
        }
    }
    Ok(())
}

/// Subscribes to the module's retained message.
fn subscribe(
    arguments: &Arguments,
    client_id: String,
    arrived: mpsc::UnboundedSender<Instant>,
) -> impl Future<Output = anyhow::Result<()>> + Send + use<> {
    let broker = arguments.broker.clone();
    let topic = format!("{}/m/{}", arguments.prefix, arguments.module);
    async move {
        let (client, mut events) = mqtt::client(&broker, &client_id, 10)?;
        client.subscribe(topic, QoS::AtLeastOnce).await?;
        while !matches!(events.poll().await?, Event::Incoming(Incoming::SubAck(_))) {}
        tokio::spawn(listen(client, events, arrived));
        Ok(())
    }
}

/// What of the retained message matters here: it comes at an interval as well.
#[derive(Deserialize)]
struct Bookmark {
    version: i64,
}

/// Tells of each new version; the client is kept, because its loop ends with it.
async fn listen(
    _client: AsyncClient,
    mut events: EventLoop,
    arrived: mpsc::UnboundedSender<Instant>,
) -> anyhow::Result<()> {
    let mut known = None;
    loop {
        let Event::Incoming(Incoming::Publish(message)) = events.poll().await? else {
            continue;
        };
        let at = Instant::now();
        let bookmark: Bookmark = serde_json::from_slice(&message.payload)?;
        if known.replace(bookmark.version) != Some(bookmark.version) {
            arrived.send(at)?;
        }
    }
}

/// Tells of each event of a stream.
async fn watch(
    public: Url,
    number: usize,
    arrived: mpsc::UnboundedSender<Instant>,
) -> anyhow::Result<()> {
    let mut url = public.join("/ofrep/v1/sse")?;
    let key = format!("terminal-{number}");
    url.query_pairs_mut().append_pair("targetingKey", &key);
    let opened = reqwest::Client::new().get(url).send().await?;
    let mut stream = opened.error_for_status()?;
    tokio::spawn(async move {
        while let Some(piece) = stream.chunk().await? {
            // An event is sent at once, so it is not cut.
            if piece.windows(6).any(|bytes| bytes == b"\ndata:") {
                arrived.send(Instant::now())?;
            }
        }
        anyhow::Ok(())
    });
    Ok(())
}

/// Milliseconds from `began` to the arrival at each of so many.
async fn last_of(arrivals: &mut Arrivals, many: usize, began: Instant) -> anyhow::Result<Vec<f64>> {
    let mut took = Vec::with_capacity(many);
    while took.len() < many {
        let next = timeout(PATIENCE, arrivals.recv()).await;
        let next = next.with_context(|| format!("only {} have heard it", took.len()))?;
        let at = next.context("nobody listens")?;
        took.push((at.saturating_duration_since(began)).as_secs_f64() * 1_000.0);
    }
    ensure!(arrivals.is_empty(), "more has come than was told");
    Ok(took)
}
