//! Single flight: one read of the database's heads serves all requests that wait for it, and reads the
//! heads that they ask for.
//!
//! Invariant: a request is served by a round that began after it asked, never by one under way.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use crate::domain::ModuleName;

/// The tail could not be brought to the database's head: the database does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database cannot be asked now")]
pub struct Stale;

/// How far the rounds have come. A round may end before those that the round before served have
/// looked, so what has succeeded stays known.
#[derive(Debug, Clone, Copy, Default)]
struct Rounds {
    /// The last that has ended.
    ended: u64,
    /// The last that has succeeded.
    succeeded: u64,
}

/// What is asked for and not served yet.
#[derive(Debug, Default)]
struct Wanted {
    /// How many have asked so far.
    tickets: u64,
    modules: BTreeSet<ModuleName>,
}

/// One read of heads.
#[derive(Debug)]
pub struct Round {
    number: u64,
    /// Whose heads are asked for.
    pub modules: Vec<ModuleName>,
}

/// The meeting point of requests that need a fresh head and the task that fetches it.
#[derive(Debug)]
pub struct Refresh {
    wanted: Mutex<Wanted>,
    ask: Notify,
    last: watch::Sender<Rounds>,
    patience: Duration,
}

impl Refresh {
    /// A meeting point at which a request waits at most `patience`.
    pub fn new(patience: Duration) -> Self {
        Self {
            wanted: Mutex::default(),
            ask: Notify::new(),
            last: watch::Sender::new(Rounds::default()),
            patience,
        }
    }

    /// Returns once the tail has reached a module's head that was read after this call began.
    pub async fn bring_to_head(&self, module: &ModuleName) -> Result<(), Stale> {
        let ticket = self.take_ticket(module);
        self.ask.notify_one();
        let mut last = self.last.subscribe();
        let served = last.wait_for(|rounds| rounds.ended >= ticket);
        match timeout(self.patience, served).await {
            Ok(Ok(rounds)) if rounds.succeeded >= ticket => Ok(()),
            _ => Err(Stale),
        }
    }

    /// For the task: returns when somebody asks.
    pub async fn asked(&self) {
        self.ask.notified().await;
    }

    /// For the task: the round that serves those who have asked since the last round began, if there are
    /// any. To be called before the heads are read.
    pub fn begin_round(&self) -> Option<Round> {
        let mut wanted = self.wanted();
        let number = wanted.tickets;
        let modules = std::mem::take(&mut wanted.modules);
        (number > self.last.borrow().ended).then(|| Round {
            number,
            modules: modules.into_iter().collect(),
        })
    }

    /// For the task: ends a round.
    pub fn end_round(&self, round: &Round, succeeded: bool) {
        self.last.send_modify(|rounds| {
            rounds.ended = round.number;
            if succeeded {
                rounds.succeeded = round.number;
            }
        });
    }

    fn take_ticket(&self, module: &ModuleName) -> u64 {
        let mut wanted = self.wanted();
        wanted.tickets += 1;
        if !wanted.modules.contains(module) {
            wanted.modules.insert(module.clone());
        }
        wanted.tickets
    }

    // Ticket and module are written one after the other: a panic between them leaves a ticket that a round
    // serves all the same.
    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, poll};

    use super::*;

    /// One that asks and waits, then the round that serves it with its outcome.
    async fn two_rounds(first: bool, second: bool) -> [Option<Result<(), Stale>>; 2] {
        let refresh = Refresh::new(Duration::from_mins(1));
        let modules = ["a", "b"].map(|name| name.parse().unwrap());
        let mut asking = [0, 1].map(|at| Box::pin(refresh.bring_to_head(&modules[at])));
        for (at, succeeds) in [first, second].into_iter().enumerate() {
            assert!(poll!(&mut asking[at]).is_pending());
            let round = refresh.begin_round().expect("somebody has asked");
            assert_eq!(round.modules, modules[at..=at], "nobody else is read");
            refresh.end_round(&round, succeeds);
        }
        assert!(refresh.begin_round().is_none());
        // Nobody has looked until now.
        asking.map(FutureExt::now_or_never)
    }

    #[tokio::test]
    async fn a_later_round_takes_no_success_away() {
        assert_eq!(
            two_rounds(true, false).await,
            [Some(Ok(())), Some(Err(Stale))]
        );
    }

    #[tokio::test]
    async fn a_later_round_makes_up_for_a_failure() {
        assert_eq!(two_rounds(false, true).await, [Some(Ok(())), Some(Ok(()))]);
        assert_eq!(
            two_rounds(false, false).await,
            [Some(Err(Stale)), Some(Err(Stale))]
        );
    }
}
