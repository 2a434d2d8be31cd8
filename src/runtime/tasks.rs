//! The maintenance tasks, in the order in which they are stopped.

use std::{collections::HashMap, time::Duration};

use tokio::{
    task::{Id, JoinSet},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// When a task is stopped: each rank after the one before has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Rank {
    /// What takes requests from clients.
    Public,
    /// What takes changes, and tells how things stand while clients are sent away.
    Private,
    /// What requests have handed over.
    Ingest,
    /// What publishes and prunes under the leases.
    Mirror,
    /// What holds the leases.
    Sequencer,
    /// What only reads.
    Reader,
    /// What others publish to.
    Broker,
}

impl Rank {
    const ORDER: [Self; 7] = [
        Self::Public,
        Self::Private,
        Self::Ingest,
        Self::Mirror,
        Self::Sequencer,
        Self::Reader,
        Self::Broker,
    ];
}

#[derive(Debug, Clone, Copy)]
struct Task {
    name: &'static str,
    rank: Rank,
}

/// All tasks of the process. Dropping it aborts them.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, Task>,
    stops: HashMap<Rank, CancellationToken>,
}

impl Tasks {
    /// Starts a task that runs until the token that it is given is cancelled.
    pub(super) fn spawn<F>(
        &mut self,
        rank: Rank,
        name: &'static str,
        task: impl FnOnce(CancellationToken) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stops.entry(rank).or_default().clone();
        let id = self.running.spawn(task(stop)).id();
        self.names.insert(id, Task { name, rank });
    }

    /// Returns the name of the first task that ends, which none should before it is told to.
    pub(super) async fn first_end(&mut self) -> &'static str {
        match self.next_end().await {
            Some(task) => task.name,
            None => std::future::pending().await,
        }
    }

    async fn next_end(&mut self) -> Option<Task> {
        let id = match self.running.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(error) => {
                let name = self.names.get(&error.id()).map(|task| task.name);
                tracing::error!(%error, task = name, "a task broke down");
                error.id()
            }
        };
        self.names.remove(&id)
    }

    /// Stops everything rank by rank. Returns whether all ended within `span`; the others are
    /// aborted.
    pub(super) async fn stop(mut self, span: Duration) -> bool {
        let deadline = Instant::now() + span;
        for rank in Rank::ORDER {
            if let Some(stop) = self.stops.get(&rank) {
                stop.cancel();
            }
            while self.names.values().any(|task| task.rank == rank) {
                if timeout_at(deadline, self.next_end()).await.is_err() {
                    self.report_late();
                    return false;
                }
            }
        }
        true
    }

    fn report_late(&self) {
        let late: Vec<_> = self.names.values().map(|task| task.name).collect();
        tracing::error!(tasks = ?late, "not everything ended within server.drain_ms");
    }
}
