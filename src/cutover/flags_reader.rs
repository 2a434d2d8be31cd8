//! The reader that keeps this replica's flags up with the database.

use std::{sync::Arc, time::Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Flags, Routes,
    reading::{ReadOnce, Reading, Unread, read_on},
};
use crate::{
    domain::ModuleName,
    store::{self, Store},
};

/// The task that adopts what other replicas did. One statement per tick, whatever the number of
/// modules and clients.
pub struct FlagsReader {
    store: Arc<dyn Store>,
    flags: Arc<Flags>,
    routes: Arc<Routes>,
    read_once: ReadOnce,
    unread: Unread,
}

impl FlagsReader {
    /// The reader, and the sign that the flags have been read once.
    pub fn new(
        store: Arc<dyn Store>,
        (flags, routes): (Arc<Flags>, Arc<Routes>),
    ) -> (Self, watch::Receiver<bool>) {
        let (read_once, sign) = ReadOnce::new();
        let reader = Self {
            store,
            flags,
            routes,
            read_once,
            unread: Unread::default(),
        };
        (reader, sign)
    }

    /// Reads until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        read_on(self, stop).await;
    }

    fn warn_of_strangers(&self, module: &ModuleName) {
        let Some(record) = self.flags.record(module) else {
            return;
        };
        for target in self.routes.strangers(module, &record.routing) {
            tracing::warn!(
                %module,
                broker = target,
                "clients are routed to a target that the configuration does not name for the module: they are told the first one that is fed; \
                 give it its name back, or `changeover module route`"
            );
        }
    }
}

impl Reading for FlagsReader {
    const LOST: &'static str = "the flags cannot be read, the last known ones stay in force";
    const FOUND: &'static str = "the flags are read again";

    async fn look(&mut self) -> store::Result<()> {
        let asked = Instant::now();
        let read = self.store.read_stages().await?;
        self.unread.tell(
            &read.unreadable,
            "the flags of a module cannot be read: its last known ones stay in force, after a start those of `mirror`",
            "the flags of a module are read again",
        );
        for module in self.flags.adopt(&read.records) {
            tracing::debug!(%module, "flags adopted");
            self.warn_of_strangers(&module);
        }
        self.flags.confirm(asked);
        self.read_once.done();
        Ok(())
    }
}
