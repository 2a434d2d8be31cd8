//! The least that a database can do to number changes: one statement per batch moves rows from an
//! outbox into a log. No fence, no predecessors, no repeats, no judgement of values.

use std::time::Instant;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::outbox::{Rows, insert};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A database of its own, with the gateway's tables.
    #[arg(long)]
    database: String,
    /// Rows to move.
    #[arg(long)]
    rows: i64,
    /// Rows per statement.
    #[arg(long, default_value_t = 2000)]
    batch: i64,
    /// Channels that the rows are spread over.
    #[arg(long, default_value_t = 5000)]
    channels: i64,
    /// Keep the last change per key too.
    #[arg(long)]
    state: bool,
}

const MOVE: &str = "\
    WITH moved AS ( \
        DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT $1) RETURNING * \
    ), logged AS ( \
        INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, change_id, \
                                previous, occurred_at, sequenced_at) \
        SELECT module, $2 + row_number() OVER (ORDER BY id), 1, audience, entity_key, op, value, \
               change_id, 0, occurred_at, 0 FROM moved \
    )";

const ONLY: &str = " SELECT count(*) FROM moved";

/// Keys do not repeat within a batch of this load.
const AND_STATE: &str = ", kept AS ( \
        INSERT INTO entity_state (module, audience, entity_key, op, position, value) \
        SELECT module, audience, entity_key, op, $2 + row_number() OVER (ORDER BY id), value FROM moved \
        ON CONFLICT (module, audience, entity_key) DO UPDATE \
        SET op = EXCLUDED.op, position = EXCLUDED.position, value = EXCLUDED.value \
    )";

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&arguments.database).await?;
    connection
        .execute("TRUNCATE outbox, change_log, entity_state")
        .await?;
    let (first, last) = (1, arguments.rows);
    let channels = arguments.channels;
    let rows = Rows {
        first,
        last,
        channels,
    };
    insert(&mut connection, rows).await?;
    let statement = format!(
        "{MOVE}{}{ONLY}",
        if arguments.state { AND_STATE } else { "" }
    );
    let begun = Instant::now();
    let mut moved = 0;
    while moved < arguments.rows {
        let batch = sqlx::query_scalar::<_, i64>(AssertSqlSafe(statement.clone()))
            .bind(arguments.batch)
            .bind(moved);
        let count = batch.fetch_one(&mut connection).await?;
        anyhow::ensure!(count > 0, "the outbox ended at {moved} rows");
        moved += count;
    }
    let rate = f64::from(u32::try_from(moved)?) / begun.elapsed().as_secs_f64();
    println!("{rate:.0}");
    Ok(())
}
