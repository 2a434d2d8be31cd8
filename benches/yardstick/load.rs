//! A load for the whole chain: commits rows, then waits until the broker has acknowledged the last.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::time::sleep;

use crate::outbox::{Producer, Rows};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The gateway's database.
    #[arg(long)]
    database: String,
    /// Rows to commit.
    #[arg(long)]
    rows: i64,
    /// Rows per transaction; as many as `rows`: all become visible at one moment.
    #[arg(long)]
    transaction: i64,
    /// Channels that the rows are spread over.
    #[arg(long, default_value_t = 5000)]
    channels: i64,
    /// Give up after so many seconds.
    #[arg(long, default_value_t = 300)]
    patience_s: u64,
}

/// The stored cursor: what survives a crash. It follows the acknowledgements by at most 200 ms.
const ACKNOWLEDGED: &str = "SELECT coalesce(min(position), 0) FROM mirror_cursor";

/// How often the cursor is looked at.
const LOOK: Duration = Duration::from_millis(20);

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut producer = Producer::connect(&arguments.database).await?;
    let before = producer.number(ACKNOWLEDGED).await?;
    let goal = before + arguments.rows;
    let mut committed_first = None;
    let mut row = before;
    while row < goal {
        let (first, last) = (row + 1, (row + arguments.transaction).min(goal));
        let channels = arguments.channels;
        let rows = Rows {
            first,
            last,
            channels,
        };
        producer.insert(rows).await?;
        committed_first.get_or_insert_with(Instant::now);
        row = last;
    }
    let begun = committed_first.unwrap_or_else(Instant::now);
    let patience = Duration::from_secs(arguments.patience_s);
    while producer.number(ACKNOWLEDGED).await? < goal {
        ensure!(
            begun.elapsed() < patience,
            "the mirror is not through after {patience:?}"
        );
        sleep(LOOK).await;
    }
    let rate = f64::from(u32::try_from(arguments.rows)?) / begun.elapsed().as_secs_f64();
    println!("{rate:.0}");
    Ok(())
}
