//! Thousands of polls that wait: what one costs the server in memory, and how long it takes to tell
//! them all.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use reqwest::Url;
use sqlx::{Connection as _, PgConnection};
use tokio::{task::JoinSet, time::sleep};

use crate::{connection::Connection, produce::insert};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The gateway's public listener.
    #[arg(long)]
    address: SocketAddr,
    /// Its metrics.
    #[arg(long)]
    metrics: Url,
    /// Its process id.
    #[arg(long)]
    pid: u32,
    /// Its database.
    #[arg(long)]
    database: String,
    /// Whose polls wait.
    #[arg(long)]
    module: String,
    /// Polls that wait, each on a connection of its own and each for a channel of its own.
    #[arg(long, default_value_t = 10_000)]
    count: u32,
}

const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_mins(1);

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let before = resident_bytes(arguments.pid)?;
    let mut connections = Vec::new();
    for number in 0..arguments.count {
        let mut connection = Connection::open(arguments.address).await?;
        connection.ask(&path(&arguments, number, 0)).await?;
        connection.answer().await?;
        connections.push(connection);
    }
    let connected = resident_bytes(arguments.pid)?;
    for (number, connection) in (0..).zip(&mut connections) {
        connection.ask(&path(&arguments, number, 60)).await?;
    }
    until_all_wait(&arguments).await?;
    let waiting = resident_bytes(arguments.pid)?;
    let mut took = tell(&arguments, connections).await?;
    took.sort_unstable();
    let each = |bytes: u64| bytes / u64::from(arguments.count.max(1));
    println!(
        "{} {} {} {:.0} {:.0}",
        before / 1024,
        each(connected.saturating_sub(before)),
        each(waiting.saturating_sub(connected)),
        took[took.len() / 2].as_secs_f64() * 1000.0,
        took[took.len() - 1].as_secs_f64() * 1000.0,
    );
    Ok(())
}

fn path(arguments: &Arguments, number: u32, wait_s: u32) -> String {
    let module = &arguments.module;
    format!("/api/{module}/list?since=0&uid=u{number}&wait={wait_s}")
}

fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.context("no VmRSS")?.parse::<u64>()? * 1024)
}

async fn until_all_wait(arguments: &Arguments) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let metrics = reqwest::get(arguments.metrics.clone())
            .await?
            .text()
            .await?;
        let mut lines = metrics.lines();
        let waiting = lines.find(|line| line.starts_with("changeover_waiting_polls"));
        let waiting = waiting.and_then(|line| line.rsplit(' ').next());
        if waiting == Some(&arguments.count.to_string()) {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "only {waiting:?} wait");
        sleep(LOOK).await;
    }
}

/// Commits a change for everyone; how long each took to hear it.
async fn tell(
    arguments: &Arguments,
    connections: Vec<Connection>,
) -> anyhow::Result<Vec<Duration>> {
    let mut database = PgConnection::connect(&arguments.database).await?;
    let mut hearing = JoinSet::new();
    let begun = Instant::now();
    for mut connection in connections {
        hearing.spawn(async move {
            connection.answer().await?;
            anyhow::Ok(begun.elapsed())
        });
    }
    insert(&mut database, &arguments.module, 0, 0).await?;
    let mut took = Vec::new();
    while let Some(heard) = hearing.join_next().await {
        took.push(heard??);
    }
    ensure!(!took.is_empty(), "nobody waited");
    Ok(took)
}
