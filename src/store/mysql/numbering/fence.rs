//! Where a numbering transaction begins: the head rows, locked under their tokens.

use sqlx::MySqlConnection;

use crate::{
    domain::Micros,
    store::{
        FencedHead, Lease,
        mysql::{
            connection::begin,
            lease::NOW,
            statement::{Statement, held, ready},
            stored::Stored,
        },
        row,
    },
    telemetry::{Purpose, count_query},
};

/// What stands behind the fence.
pub(super) struct Fence {
    pub(super) heads: Vec<FencedHead>,
    pub(super) now: Micros,
}

/// Begins a transaction and locks those of the heads whose lease holds. It waits for a writer before us, at most
/// as long as the session allows. The clock is asked for behind the lock: inside one statement it stands
/// still.
pub(super) async fn lock(
    connection: &mut MySqlConnection,
    leases: &[Lease],
) -> sqlx::Result<Fence> {
    begin(connection).await?;
    let heads = match leases {
        [] => Vec::new(),
        leases => heads(connection, leases).await?,
    };
    count_query(Purpose::Sequence);
    let mut clock = Statement::new("SELECT ");
    let clock = clock.push(NOW).build_query_scalar();
    Ok(Fence {
        heads,
        now: Micros::new(clock.fetch_one(connection).await?),
    })
}

async fn heads(
    connection: &mut MySqlConnection,
    leases: &[Lease],
) -> sqlx::Result<Vec<FencedHead>> {
    count_query(Purpose::Sequence);
    let mut fence = Statement::new(
        "SELECT module, epoch, head, retained_from, sequenced_through \
         FROM module_head FORCE INDEX (PRIMARY) WHERE ",
    );
    held(&mut fence, leases);
    fence.push(" ORDER BY module FOR UPDATE");
    let rows = ready(&mut fence, leases.len())
        .fetch_all(connection)
        .await?;
    Stored::all(rows).iter().map(row::fenced_head).collect()
}
