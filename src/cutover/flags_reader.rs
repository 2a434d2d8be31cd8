//! The reader that keeps this replica's flags up with the database.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Flags, Routes};
use crate::{
    domain::ModuleName,
    store::{self, Store, Unreadable},
};

/// How often the flags are read: an act elsewhere is in force here within a second.
const TICK: Duration = Duration::from_millis(400);

/// The task that adopts what other replicas did. One statement per tick, whatever the number of
/// modules and clients.
pub struct FlagsReader {
    store: Arc<dyn Store>,
    flags: Arc<Flags>,
    routes: Arc<Routes>,
    read_once: watch::Sender<bool>,
    failing: bool,
    /// The modules whose records cannot be read.
    unreadable: BTreeSet<String>,
}

impl FlagsReader {
    /// The reader, and the sign that the flags have been read once.
    pub fn new(
        store: Arc<dyn Store>,
        (flags, routes): (Arc<Flags>, Arc<Routes>),
    ) -> (Self, watch::Receiver<bool>) {
        let (read_once, sign) = watch::channel(false);
        let reader = Self {
            store,
            flags,
            routes,
            read_once,
            failing: false,
            unreadable: BTreeSet::new(),
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

    async fn activate(&mut self) -> store::Result<()> {
        let read = self.store.read_stages().await?;
        self.tell_unreadable(&read.unreadable);
        for module in self.flags.adopt(&read.records) {
            tracing::debug!(%module, "flags adopted");
            self.warn_of_strangers(&module);
        }
        self.read_once
            .send_if_modified(|read| !std::mem::replace(read, true));
        Ok(())
    }

    /// Once for each, and when it can be read again.
    fn tell_unreadable(&mut self, unreadable: &[Unreadable]) {
        for Unreadable { module, error } in unreadable {
            if self.unreadable.insert(module.clone()) {
                let cause = std::error::Error::source(error);
                tracing::error!(module, %error, cause, "the flags of a module cannot be read: its last known ones stay in force, after a start those of `mirror`");
            }
        }
        let still = |module: &String| unreadable.iter().any(|one| one.module == *module);
        self.unreadable.retain(|module| {
            let still = still(module);
            if !still {
                tracing::info!(module, "the flags of a module are read again");
            }
            still
        });
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

    fn report(&mut self, outcome: &store::Result<()>) {
        match outcome {
            Err(error) if !self.failing => {
                tracing::warn!(%error, "the flags cannot be read, the last known ones stay in force");
            }
            Ok(()) if self.failing => tracing::info!("the flags are read again"),
            _ => {}
        }
        self.failing = outcome.is_err();
    }
}
