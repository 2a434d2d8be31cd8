//! Readers that keep this replica up with the database: one look after the other, for as long as the process lives.
//!
//! Invariant: what was known stays in force while the database cannot be asked, and the log says so once, and once when it ends.

use std::{collections::BTreeSet, time::Duration};

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::store::{self, Unreadable};

/// How often is read: what was done elsewhere is in force here within a second.
const TICK: Duration = Duration::from_millis(400);

/// What is read again and again.
pub(super) trait Reading: Send {
    /// What the log says when it cannot be.
    const LOST: &'static str;
    /// What it says when it can be again.
    const FOUND: &'static str;

    /// Looks once: as few statements as can be, whatever the number of modules and clients.
    fn look(&mut self) -> impl Future<Output = store::Result<()>> + Send;
}

/// The sign that something has been read once.
#[derive(Debug)]
pub(super) struct ReadOnce(watch::Sender<bool>);

impl ReadOnce {
    /// Not yet; and where it is to be seen.
    pub(super) fn new() -> (Self, watch::Receiver<bool>) {
        let (sender, sign) = watch::channel(false);
        (Self(sender), sign)
    }

    pub(super) fn done(&self) {
        self.0
            .send_if_modified(|read| !std::mem::replace(read, true));
    }
}

/// The modules of which something cannot be read.
#[derive(Debug, Default)]
pub(super) struct Unread(BTreeSet<String>);

impl Unread {
    /// Says so once for each, and when it can be read again.
    pub(super) fn tell(&mut self, unreadable: &[Unreadable], lost: &str, found: &str) {
        for Unreadable { module, error } in unreadable {
            if self.0.insert(module.clone()) {
                let cause = std::error::Error::source(error);
                tracing::error!(module, %error, cause, "{lost}");
            }
        }
        let still = |module: &String| unreadable.iter().any(|one| one.module == *module);
        self.0.retain(|module| {
            let still = still(module);
            if !still {
                tracing::info!(module, "{found}");
            }
            still
        });
    }
}

/// Reads until told to stop.
pub(super) async fn read_on<R: Reading>(mut reading: R, stop: CancellationToken) {
    let mut failing = false;
    while !stop.is_cancelled() {
        let outcome = reading.look().await;
        match &outcome {
            Err(error) if !failing => tracing::warn!(%error, "{}", R::LOST),
            Ok(()) if failing => tracing::info!("{}", R::FOUND),
            _ => {}
        }
        failing = outcome.is_err();
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(TICK) => {}
        }
    }
}
