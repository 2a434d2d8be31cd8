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

/// How far the rounds have come. A round may end before those that the round before served have
/// looked, so what has succeeded stays known.
#[derive(Debug, Clone, Copy, Default)]
struct Rounds {
    /// The last that has ended.
    ended: u64,
    /// The last that has succeeded.
    succeeded: u64,
}

/// The meeting point of requests that need a fresh head and the task that fetches it.
#[derive(Debug)]
pub struct Refresh {
    wanted: AtomicU64,
    ask: Notify,
    last: watch::Sender<Rounds>,
    patience: Duration,
}

impl Refresh {
    /// A meeting point at which a request waits at most `patience`.
    pub fn new(patience: Duration) -> Self {
        Self {
            wanted: AtomicU64::new(0),
            ask: Notify::new(),
            last: watch::Sender::new(Rounds::default()),
            patience,
        }
    }

    /// Returns once the tail has reached a head that was read after this call began.
    pub async fn bring_to_head(&self) -> Result<(), Stale> {
        let ticket = self.wanted.fetch_add(1, Ordering::SeqCst) + 1;
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

    /// For the task: whether somebody has asked since the last round began, and the number of the
    /// round that will serve them. To be called before the heads are read.
    pub fn begin_round(&self) -> Option<u64> {
        let wanted = self.wanted.load(Ordering::SeqCst);
        (wanted > self.last.borrow().ended).then_some(wanted)
    }

    /// For the task: ends a round.
    pub fn end_round(&self, number: u64, succeeded: bool) {
        self.last.send_modify(|rounds| {
            rounds.ended = number;
            if succeeded {
                rounds.succeeded = number;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, poll};

    use super::*;

    /// One that asks and waits, then the round that serves it with its outcome.
    async fn two_rounds(first: bool, second: bool) -> [Option<Result<(), Stale>>; 2] {
        let refresh = Refresh::new(Duration::from_mins(1));
        let mut asking = [refresh.bring_to_head(), refresh.bring_to_head()].map(Box::pin);
        for (asking, succeeds) in asking.iter_mut().zip([first, second]) {
            assert!(poll!(asking).is_pending());
            let round = refresh.begin_round().expect("somebody has asked");
            refresh.end_round(round, succeeds);
        }
        assert_eq!(refresh.begin_round(), None);
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
