//! The reader that keeps this replica's standings of targets up with the database.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Standings;
use crate::store::{self, Store};

/// How often they are read: an act elsewhere is in force here within a second.
const TICK: Duration = Duration::from_millis(400);

/// The task that adopts what other replicas did. One statement per tick.
pub struct StandingsReader {
    store: Arc<dyn Store>,
    standings: Arc<Standings>,
}

impl StandingsReader {
    /// A reader of `store` for `standings`.
    pub const fn new(store: Arc<dyn Store>, standings: Arc<Standings>) -> Self {
        Self { store, standings }
    }

    /// Reads until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut failing = false;
        while !stop.is_cancelled() {
            let outcome = self.activate().await;
            match &outcome {
                Err(error) if !failing => {
                    tracing::warn!(%error, "the standings of targets cannot be read, the last known ones stay in force");
                }
                Ok(()) if failing => tracing::info!("the standings of targets are read again"),
                _ => {}
            }
            failing = outcome.is_err();
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(TICK) => {}
            }
        }
    }

    async fn activate(&self) -> store::Result<()> {
        self.standings.adopt(&self.store.target_records().await?);
        Ok(())
    }
}
