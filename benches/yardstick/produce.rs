//! A producer at a steady pace: one row per transaction, modules and channels in turns.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::time::sleep_until;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The gateway's database.
    #[arg(long)]
    database: String,
    /// Modules.
    #[arg(long, value_delimiter = ',')]
    modules: Vec<String>,
    /// Rows per second.
    #[arg(long, default_value_t = 100)]
    per_second: u32,
    /// Channels `u0`, `u1`, …; 0 = all rows are for everyone.
    #[arg(long, default_value_t = 5000)]
    channels: u32,
    /// How long.
    #[arg(long)]
    seconds: u32,
}

const INSERT: &str = "\
    INSERT INTO outbox (module, audience, entity_key, value) \
    VALUES ($1, $2, 'order-' || $3, \
            '{\"order\":' || $3 || ',\"state\":\"settled\",\"amount\":\"1034.50\",\"note\":\"' \
            || repeat('x', 140) || '\"}')";

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&arguments.database).await?;
    let begun = Instant::now();
    let pace = Duration::from_secs(1) / arguments.per_second;
    let modules = arguments.modules.iter().cycle();
    let rows = 0..arguments.per_second * arguments.seconds;
    for (row, module) in rows.zip(modules) {
        sleep_until((begun + pace * row).into()).await;
        insert(&mut connection, module, arguments.channels, row).await?;
    }
    Ok(())
}

/// Commits one row.
pub async fn insert(
    connection: &mut PgConnection,
    module: &str,
    channels: u32,
    row: u32,
) -> sqlx::Result<()> {
    let channel = row.checked_rem(channels);
    let audience = channel.map_or_else(|| "*".to_owned(), |channel| format!("u{channel}"));
    let insert = sqlx::query(INSERT).bind(module).bind(audience);
    insert.bind(row.to_string()).execute(connection).await?;
    Ok(())
}
