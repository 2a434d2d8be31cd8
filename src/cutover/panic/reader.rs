//! The reader that keeps this replica's panics up with the database, and the database with what was raised here in vain.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Panic, PanicActs};
use crate::store::{self, Store};

/// How often the panics are read: one that is raised elsewhere is in force here within a second.
const TICK: Duration = Duration::from_millis(400);

/// The task that adopts what other replicas did. One statement per tick, whatever the number of modules and clients.
pub struct PanicReader {
    store: Arc<dyn Store>,
    panic: Arc<Panic>,
    acts: Arc<PanicActs>,
    read_once: watch::Sender<bool>,
    failing: bool,
}

impl PanicReader {
    /// The reader, and the sign that the panics have been read once.
    pub fn new(
        store: Arc<dyn Store>,
        panic: Arc<Panic>,
        acts: Arc<PanicActs>,
    ) -> (Self, watch::Receiver<bool>) {
        let (read_once, sign) = watch::channel(false);
        let reader = Self {
            store,
            panic,
            acts,
            read_once,
            failing: false,
        };
        (reader, sign)
    }

    /// Reads until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let outcome = self.activate().await;
            self.report(&outcome);
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(TICK) => {}
            }
        }
    }

    async fn activate(&self) -> store::Result<()> {
        let records = self.store.panics().await?;
        self.panic.adopt(&records);
        self.read_once
            .send_if_modified(|read| !std::mem::replace(read, true));
        self.acts.write_all().await
    }

    fn report(&mut self, outcome: &store::Result<()>) {
        match outcome {
            Err(error) if !self.failing => {
                tracing::warn!(%error, "panics cannot be read or written, the last known ones stay in force");
            }
            Ok(()) if self.failing => tracing::info!("panics are read again"),
            _ => {}
        }
        self.failing = outcome.is_err();
    }
}
