//! Changes that come over HTTP: many requests, few commits.
//!
//! Invariants: a request is answered after its durable commit; it is stored whole or not at all;
//! one producer's refused value never fails another's request; the queue is bounded; while producers are refused what
//! they could be given, the process is degraded, however well the numbering does.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config,
    domain::NewChange,
    store::{self, Store},
    telemetry::{Need, Readiness},
};

/// Without another refusal for so long, the last one says nothing about now: nobody may be asking any more.
const REFUSAL_COUNTS_FOR: Duration = Duration::from_secs(10);

/// Why a request was not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The queue is full: try again later.
    #[error("too many requests wait to be stored")]
    Full,
    /// The database does not answer; whether the changes were stored is unknown. Sending them again with
    /// the same change ids is safe.
    #[error("the database does not answer, the changes may not be stored")]
    Unavailable,
    /// The database has no room for them. Nothing was stored.
    #[error("the database has no room left, the changes are not stored")]
    NoRoom,
    /// The database refuses a value, and would again.
    #[error("the database refuses a value: {0}")]
    Refused(String),
    /// The process is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

#[derive(Debug)]
struct Request {
    changes: Vec<NewChange>,
    done: oneshot::Sender<Result<(), Refusal>>,
}

/// The way in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ingest {
    queue: mpsc::Sender<Request>,
}

impl Ingest {
    /// Stores all of `changes`, in this order. Returns after the durable commit.
    pub async fn store(&self, changes: Vec<NewChange>) -> Result<(), Refusal> {
        if changes.is_empty() {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        let request = Request { changes, done };
        self.queue.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Full,
            mpsc::error::TrySendError::Closed(_) => Refusal::Stopping,
        })?;
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }
}

/// The task that commits what waits, group by group.
pub struct IngestWriter {
    store: Arc<dyn Store>,
    queue: mpsc::Receiver<Request>,
    group: usize,
    committed: Arc<Notify>,
    readiness: Arc<Readiness>,
    /// How long the last refusal counts, unless something is stored before.
    refusing_until: Option<Instant>,
}

impl IngestWriter {
    /// The writer and its way in. `committed` is notified after each commit, `readiness` told while changes cannot be stored.
    pub fn new(
        store: Arc<dyn Store>,
        bounds: &config::ingest::Ingest,
        committed: Arc<Notify>,
        readiness: Arc<Readiness>,
    ) -> (Ingest, Self) {
        let (sender, queue) = mpsc::channel(bounds.queue);
        let writer = Self {
            store,
            queue,
            group: bounds.group,
            committed,
            readiness,
            refusing_until: None,
        };
        (Ingest { queue: sender }, writer)
    }

    /// Commits until told to stop; what had been queued by then is still committed.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let refusing_until = self.refusing_until;
            let first = tokio::select! {
                biased;
                request = self.queue.recv() => request,
                () = passed(refusing_until) => {
                    self.refuses(false);
                    continue;
                }
                () = stop.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
            };
            let Some(first) = first else {
                return;
            };
            let group = self.gather(first);
            self.commit(group).await;
        }
    }

    fn gather(&mut self, first: Request) -> Vec<Request> {
        let mut size = first.changes.len();
        let mut group = vec![first];
        while size < self.group {
            let Ok(request) = self.queue.try_recv() else {
                break;
            };
            size += request.changes.len();
            group.push(request);
        }
        group
    }

    async fn commit(&mut self, mut group: Vec<Request>) {
        let mut all = Vec::new();
        for request in &mut group {
            all.extend(request.changes.iter().cloned());
        }
        match self.store.append(&all).await {
            Err(store::Error::Refused { .. }) if group.len() > 1 => {
                self.commit_one_by_one(group).await;
            }
            outcome => {
                let outcome = self.judged(outcome);
                for request in group {
                    answer(request, outcome.clone());
                }
            }
        }
        self.committed.notify_one();
    }

    /// Finds out whose value the database refuses, so that only that request fails.
    async fn commit_one_by_one(&mut self, group: Vec<Request>) {
        for request in group {
            let outcome = self.store.append(&request.changes).await;
            let outcome = self.judged(outcome);
            answer(request, outcome);
        }
    }

    /// What producers are told, after the process knows whether it can store changes. A refused value says nothing of that.
    fn judged(&mut self, outcome: store::Result<()>) -> Result<(), Refusal> {
        let outcome = outcome.map_err(|error| refusal(&error));
        match outcome {
            Ok(()) => self.refuses(false),
            Err(Refusal::Unavailable | Refusal::NoRoom) => self.refuses(true),
            Err(_) => {}
        }
        outcome
    }

    fn refuses(&mut self, so: bool) {
        self.refusing_until = so.then(|| Instant::now() + REFUSAL_COUNTS_FOR);
        self.readiness.set_degraded(Need::Storing, so);
    }
}

async fn passed(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn answer(request: Request, outcome: Result<(), Refusal>) {
    // A client that has gone away meanwhile does not want to know.
    let _gone = request.done.send(outcome);
}

fn refusal(error: &store::Error) -> Refusal {
    match error {
        store::Error::Refused { why } => Refusal::Refused(why.clone()),
        store::Error::NoRoom { .. } => {
            tracing::error!(error = ?error, "changes over HTTP were not stored: the database has no room");
            Refusal::NoRoom
        }
        error => {
            tracing::warn!(error = ?error, "changes over HTTP were not stored");
            Refusal::Unavailable
        }
    }
}
