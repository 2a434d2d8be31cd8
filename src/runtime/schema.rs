//! The database's schema, brought up to what this program and its configuration need.
//!
//! Invariant: a pending migration is run or refuses the start. An index that is missing does neither: reads without it are
//! right, and slow.

use std::time::Instant;

use super::{Options, StartError};
use crate::{
    config::Config,
    store::{self, SchemaState, Store},
};

/// Runs what is pending and makes what is missing, or says so.
pub(super) async fn prepare(
    store: &dyn Store,
    config: &Config,
    options: Options,
) -> Result<(), StartError> {
    match store.schema_state().await? {
        SchemaState::Current => {}
        SchemaState::Pending(pending) if !options.migrate => {
            return Err(store::Error::SchemaPending { pending }.into());
        }
        SchemaState::Pending(_) => {
            let count = store.migrate().await?;
            tracing::info!(count, "migrations run");
        }
    }
    if !config.reads_state_by_time() || store.has_tick_index().await? {
        return Ok(());
    }
    if options.migrate {
        make_tick_index(store).await;
    } else {
        tracing::warn!(
            "the index for time cursors is missing, reads of old times are slow: run `changeover migrate`"
        );
    }
    Ok(())
}

/// Not made, it is no reason to answer nobody.
async fn make_tick_index(store: &dyn Store) {
    tracing::info!("making the index for time cursors, which may take a while");
    let begun = Instant::now();
    match store.make_tick_index().await {
        Ok(()) => {
            let took_ms = begun.elapsed().as_millis();
            tracing::info!(took_ms, "the index for time cursors is made");
        }
        Err(error) => tracing::warn!(
            ?error,
            "the index for time cursors could not be made, reads of old times are slow: run `changeover migrate`"
        ),
    }
}
