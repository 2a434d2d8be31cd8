//! From a producer's commit to a subscriber's hands, at a pace. Producers and subscriber are one
//! process, so that one monotonic clock times both ends.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use reqwest::Url;
use rumqttc::v5::{Event, EventLoop, Incoming, mqttbytes::QoS};
use serde::Deserialize;
use sqlx::{Connection, PgConnection};
use tokio::{
    task::JoinSet,
    time::{sleep_until, timeout},
};

use crate::{
    mqtt,
    outbox::{Rows, insert},
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The gateway's database.
    #[arg(long)]
    database: String,
    /// `mqtt://host:port`.
    #[arg(long)]
    broker: Url,
    /// Topic filter of the changes.
    #[arg(long, default_value = "changeover/c/commission/+")]
    filter: String,
    /// Rows per second.
    #[arg(long, default_value_t = 1000)]
    per_second: u32,
    /// Rows of one transaction.
    #[arg(long, default_value_t = 1)]
    together: u32,
    /// How long.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Connections that the producers have together.
    #[arg(long, default_value_t = 8)]
    connections: u32,
    /// Number of the first row, above those of earlier loads.
    #[arg(long)]
    first: u32,
}

/// What is known of one row.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    /// Before the statement, which is its own transaction, was sent.
    sent: Option<Instant>,
    /// After the server confirmed it.
    committed: Option<Instant>,
    arrived: Option<Instant>,
}

type Shared = Arc<Mutex<Vec<Times>>>;

/// What the subscriber reads of an event.
#[derive(Debug, Deserialize)]
struct Received {
    data: Order,
}

#[derive(Debug, Deserialize)]
struct Order {
    order: u32,
}

/// The last row gets so long to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let count = arguments.per_second * arguments.seconds;
    ensure!(
        count.is_multiple_of(arguments.together),
        "the rows must be whole transactions"
    );
    let times: Shared = Arc::new(Mutex::new(vec![Times::default(); count as usize]));
    let (client, mut events) = mqtt::client(&arguments.broker, "latency", 100)?;
    client
        .subscribe(&arguments.filter, QoS::AtLeastOnce)
        .await?;
    until_subscribed(&mut events).await?;
    let subscriber = receive(events, Arc::clone(&times), arguments.first, count);
    let subscriber = tokio::spawn(subscriber);
    let producers = produce(&arguments, &times).await?;
    let late = timeout(PATIENCE, subscriber).await;
    late.context("not every row has arrived")???;
    report(&times, producers)
}

async fn until_subscribed(events: &mut EventLoop) -> anyhow::Result<()> {
    while !matches!(events.poll().await?, Event::Incoming(Incoming::SubAck(_))) {}
    Ok(())
}

/// Notes arrivals until every row has come.
async fn receive(
    mut events: EventLoop,
    times: Shared,
    first: u32,
    count: u32,
) -> anyhow::Result<()> {
    let mut missing = count;
    while missing > 0 {
        let Event::Incoming(Incoming::Publish(message)) = events.poll().await? else {
            continue;
        };
        let now = Instant::now();
        let received: Received = serde_json::from_slice(&message.payload)?;
        let row = received.data.order.checked_sub(first);
        let Some(row) = row.filter(|row| *row < count) else {
            continue;
        };
        let arrived = &mut locked(&times)[row as usize].arrived;
        missing -= u32::from(arrived.is_none());
        arrived.get_or_insert(now);
    }
    Ok(())
}

/// Commits all rows at their moments; returns how long that took.
async fn produce(arguments: &Arguments, times: &Shared) -> anyhow::Result<Duration> {
    let mut connections = Vec::new();
    for _ in 0..arguments.connections {
        connections.push(connect(&arguments.database).await?);
    }
    let begun = Instant::now();
    let mut producers = JoinSet::new();
    for (lane, connection) in (0..).zip(connections) {
        let lane = Lane {
            transactions: (lane..arguments.per_second * arguments.seconds / arguments.together)
                .step_by(arguments.connections as usize)
                .collect(),
            together: arguments.together,
            first: arguments.first,
            pace: Duration::from_secs(1) * arguments.together / arguments.per_second,
            begun,
        };
        producers.spawn(lane.produce(connection, Arc::clone(times)));
    }
    while let Some(done) = producers.join_next().await {
        done??;
    }
    Ok(begun.elapsed())
}

/// A connection that has its statement ready: an insert of no rows.
async fn connect(database: &str) -> anyhow::Result<PgConnection> {
    let mut connection = PgConnection::connect(database).await?;
    let (first, last, channels) = (1, 0, 1);
    let none = Rows {
        first,
        last,
        channels,
    };
    insert(&mut connection, none).await?;
    Ok(connection)
}

/// The transactions of one connection, each of as many rows.
struct Lane {
    transactions: Vec<u32>,
    together: u32,
    first: u32,
    pace: Duration,
    begun: Instant,
}

impl Lane {
    async fn produce(self, mut connection: PgConnection, times: Shared) -> anyhow::Result<()> {
        for transaction in self.transactions {
            sleep_until((self.begun + self.pace * transaction).into()).await;
            let first = transaction * self.together;
            let number = i64::from(self.first + first);
            let rows = Rows {
                first: number,
                last: number + i64::from(self.together) - 1,
                channels: 1000,
            };
            let sent = Instant::now();
            insert(&mut connection, rows).await?;
            let committed = Instant::now();
            let mut times = locked(&times);
            for row in first..first + self.together {
                let row = &mut times[row as usize];
                (row.sent, row.committed) = (Some(sent), Some(committed));
            }
        }
        Ok(())
    }
}

fn locked(times: &Shared) -> std::sync::MutexGuard<'_, Vec<Times>> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One line: rows per second, then p50, p99 and the maximum from the commit, and p50 and p99 from before the
/// statement was sent, in milliseconds.
fn report(times: &Shared, took: Duration) -> anyhow::Result<()> {
    let times = locked(times);
    let since = |from: fn(&Times) -> Option<Instant>| -> Option<Vec<Duration>> {
        let mut spans = times
            .iter()
            .map(|row| Some(row.arrived?.saturating_duration_since(from(row)?)))
            .collect::<Option<Vec<_>>>()?;
        spans.sort_unstable();
        Some(spans)
    };
    name_stalls(&times);
    let committed = since(|row| row.committed).context("a row has no time")?;
    let sent = since(|row| row.sent).context("a row has no time")?;
    ensure!(!committed.is_empty(), "no rows were asked for");
    let rate = f64::from(u32::try_from(committed.len())?) / took.as_secs_f64();
    println!(
        "{rate:.0} {:.2} {:.2} {:.2} {:.2} {:.2}",
        millis(at(&committed, 50)),
        millis(at(&committed, 99)),
        millis(at(&committed, 100)),
        millis(at(&sent, 50)),
        millis(at(&sent, 99)),
    );
    Ok(())
}

/// Says on standard error when rows came late: one long stall and many short ones make the same p99.
fn name_stalls(times: &[Times]) {
    const LATE: Duration = Duration::from_millis(50);
    let start = times.iter().filter_map(|row| row.sent).min();
    let late = times.iter().filter_map(|row| {
        let took = row.arrived?.saturating_duration_since(row.committed?);
        (took > LATE).then_some((row.committed?.saturating_duration_since(start?), took))
    });
    let mut last = Duration::ZERO;
    for (at, took) in late {
        if last.is_zero() || at > last + LATE {
            eprintln!(
                "    late from {:.3} s on, by {:.0} ms",
                at.as_secs_f64(),
                millis(took)
            );
        }
        last = at;
    }
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}
