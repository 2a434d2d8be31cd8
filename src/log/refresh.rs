//! Single flight: one read of the database's heads serves all requests that wait for it.
//!
//! Invariant: a request is served by a round that began after it asked, never by one under way.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

/// The tail could not be brought to the database's head: the database does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database cannot be asked now")]
pub struct Stale;

#[derive(Debug, Clone, Copy, Default)]
struct Round {
    number: u64,
    succeeded: bool,
}

/// The meeting point of requests that need a fresh head and the task that fetches it.
#[derive(Debug)]
pub struct Refresh {
    wanted: AtomicU64,
    ask: Notify,
    last: watch::Sender<Round>,
    patience: Duration,
}

impl Refresh {
    /// A meeting point at which a request waits at most `patience`.
    pub fn new(patience: Duration) -> Self {
        Self {
            wanted: AtomicU64::new(0),
            ask: Notify::new(),
            last: watch::Sender::new(Round::default()),
            patience,
        }
    }

    /// Returns once the tail has reached a head that was read after this call began.
    pub async fn bring_to_head(&self) -> Result<(), Stale> {
        let ticket = self.wanted.fetch_add(1, Ordering::SeqCst) + 1;
        self.ask.notify_one();
        let mut last = self.last.subscribe();
        let round = last.wait_for(|round| round.number >= ticket);
        match timeout(self.patience, round).await {
            Ok(Ok(round)) if round.succeeded => Ok(()),
            _ => Err(Stale),
        }
    }

    /// For the task: returns when somebody asks.
    pub async fn asked(&self) {
        self.ask.notified().await;
    }

    /// For the task: whether somebody has asked since the last round began, and the number of the
    /// round that will serve them. To be called before the heads are read.
    pub fn begin_round(&self) -> Option<u64> {
        let wanted = self.wanted.load(Ordering::SeqCst);
        (wanted > self.last.borrow().number).then_some(wanted)
    }

    /// For the task: ends a round.
    pub fn end_round(&self, number: u64, succeeded: bool) {
        self.last.send_replace(Round { number, succeeded });
    }
}
