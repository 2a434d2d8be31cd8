//! The reader that keeps this replica's panics up with the database, and the database with what was raised here in vain.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Panic, PanicActs};
use crate::{
    cutover::reading::{ReadOnce, Reading, read_on},
    store::{self, Store},
};

/// The task that adopts what other replicas did. One statement per tick, whatever the number of modules and clients.
pub struct PanicReader {
    store: Arc<dyn Store>,
    panic: Arc<Panic>,
    acts: Arc<PanicActs>,
    read_once: ReadOnce,
}

impl PanicReader {
    /// The reader, and the sign that the panics have been read once.
    pub fn new(
        store: Arc<dyn Store>,
        panic: Arc<Panic>,
        acts: Arc<PanicActs>,
    ) -> (Self, watch::Receiver<bool>) {
        let (read_once, sign) = ReadOnce::new();
        let reader = Self {
            store,
            panic,
            acts,
            read_once,
        };
        (reader, sign)
    }

    /// Reads until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        read_on(self, stop).await;
    }
}

impl Reading for PanicReader {
    const LOST: &'static str =
        "panics cannot be read or written, the last known ones stay in force";
    const FOUND: &'static str = "panics are read again";

    async fn look(&mut self) -> store::Result<()> {
        let records = self.store.panics().await?;
        self.panic.adopt(&records);
        self.read_once.done();
        self.acts.write_all().await
    }
}
