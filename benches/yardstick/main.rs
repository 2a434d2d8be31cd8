//! The yardsticks of `scripts/bench`: the least that another program needs for the same work, and
//! the loads that are put on the gateway.
//!
//! One binary, one file per yardstick. Called by cargo as a benchmark or a test it does nothing:
//! it needs the servers that the script starts.

mod bare_axum;
mod broadcast;
mod census;
mod clients;
mod connection;
mod flip;
mod histogram;
mod latency;
mod load;
mod mqtt;
mod outbox;
mod produce;
mod raw_mqtt;
mod raw_sql_move;
mod sql_per_poll;
mod storm;
mod tokens;
mod waiting;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    yardstick: Option<Yardstick>,
    /// What cargo passes to a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// What cargo passes to a test.
    #[arg(long, hide = true)]
    test: bool,
}

#[derive(Debug, Subcommand)]
enum Yardstick {
    /// Serves the bytes that another server answers, and nothing else.
    BareAxum(bare_axum::Arguments),
    /// Sees many clients, and writes them to a database.
    Census(census::Arguments),
    /// Acts on a module, and times who hears of it.
    Flip(flip::Arguments),
    /// Serves a legacy poll by asking PostgreSQL each time.
    SqlPerPoll(sql_per_poll::Arguments),
    /// Moves rows from an outbox into a log, by one statement per batch.
    RawSqlMove(raw_sql_move::Arguments),
    /// Publishes at QoS 1 until everything is acknowledged.
    RawMqtt(raw_mqtt::Arguments),
    /// Commits outbox rows, and waits until the mirror's cursor has passed them.
    Load(load::Arguments),
    /// Commits outbox rows at a pace, and times their arrival at a subscriber.
    Latency(latency::Arguments),
    /// Tells thousands of subscribers one change, from the gateway and from rumqttc.
    Broadcast(broadcast::Arguments),
    /// Polls as a fleet of clients, at fixed moments, and times the answers.
    Clients(clients::Arguments),
    /// Lets thousands of clients come back at once, by sessions and hooks.
    Storm(storm::Arguments),
    /// Signs the tokens of many callers.
    Tokens(tokens::Arguments),
    /// Commits outbox rows at a pace.
    Produce(produce::Arguments),
    /// Lets thousands of polls wait, then tells them something.
    Waiting(waiting::Arguments),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().yardstick {
        None => Ok(()),
        Some(Yardstick::BareAxum(arguments)) => bare_axum::run(arguments).await,
        Some(Yardstick::Census(arguments)) => census::run(&arguments).await,
        Some(Yardstick::Flip(arguments)) => flip::run(arguments).await,
        Some(Yardstick::SqlPerPoll(arguments)) => sql_per_poll::run(arguments).await,
        Some(Yardstick::RawSqlMove(arguments)) => raw_sql_move::run(arguments).await,
        Some(Yardstick::RawMqtt(arguments)) => raw_mqtt::run(arguments).await,
        Some(Yardstick::Load(arguments)) => load::run(arguments).await,
        Some(Yardstick::Latency(arguments)) => latency::run(arguments).await,
        Some(Yardstick::Broadcast(arguments)) => broadcast::run(arguments).await,
        Some(Yardstick::Clients(arguments)) => clients::run(arguments).await,
        Some(Yardstick::Produce(arguments)) => produce::run(arguments).await,
        Some(Yardstick::Storm(arguments)) => storm::run(arguments).await,
        Some(Yardstick::Tokens(arguments)) => tokens::run(&arguments),
        Some(Yardstick::Waiting(arguments)) => waiting::run(arguments).await,
    }
}
