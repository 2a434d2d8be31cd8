//! Checks that are under way, one for each credential.
//!
//! A check goes on when those who asked for it have left, since what it learns is remembered. So what bounds them is a number: of all, and of each class (`gate.rs`) three quarters of it.
//!
//! Invariants: a check ends for all who wait for it, also if the one who began it has gone; no more go on, or wait at the gate, than allowed, however many
//! ask and leave.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::Outcome;
use crate::identity::{
    Refused,
    fingerprint::{BuildAsItIs, Fingerprint},
};

type Waiting = watch::Receiver<Option<Outcome>>;

/// So many checks for each that may go on at once: what a back end answers within the time that one waits for a place, and more.
const FOR_EACH: usize = 16;

/// The checks.
pub(super) struct Flights {
    under_way: Arc<Mutex<UnderWay>>,
    most: usize,
}

#[derive(Default)]
struct UnderWay {
    all: HashMap<Fingerprint, Waiting, BuildAsItIs>,
    /// How many of them are of credentials that were right before.
    proven: usize,
}

/// Takes a check off the list, however it ends.
struct Landing {
    under_way: Arc<Mutex<UnderWay>>,
    key: Fingerprint,
    is_proven: bool,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut under_way = lock(&self.under_way);
        under_way.all.remove(&self.key);
        under_way.proven -= usize::from(self.is_proven);
    }
}

fn lock(under_way: &Mutex<UnderWay>) -> MutexGuard<'_, UnderWay> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

impl UnderWay {
    /// Whether one more may begin, of `most`.
    fn has_room(&self, is_proven: bool, most: usize) -> bool {
        let of_its_class = if is_proven {
            self.proven
        } else {
            self.all.len() - self.proven
        };
        self.all.len() < most && of_its_class < most - most / 4
    }
}

impl Flights {
    /// None yet, for so many that may go on at once.
    pub(super) fn new(max_concurrent: usize) -> Self {
        Self {
            under_way: Arc::default(),
            most: max_concurrent * FOR_EACH,
        }
    }

    /// What comes of the check that is under way, or of a new one; none if there are too many already.
    pub(super) async fn join<F>(
        &self,
        key: Fingerprint,
        is_proven: bool,
        begin: impl FnOnce() -> F,
    ) -> Option<Outcome>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut waiting = match self.boards(key, is_proven)? {
            Boarded::Joins(waiting) => waiting,
            Boarded::Begins(waiting, tell, landing) => {
                let check = begin();
                tokio::spawn(async move {
                    let outcome = check.await;
                    // Off the list first: who comes now finds what was remembered.
                    drop(landing);
                    tell.send_replace(Some(outcome));
                });
                waiting
            }
        };
        let failed = Err(Refused::Unavailable { retry_after_s: 1 });
        let ended = waiting.wait_for(Option::is_some).await;
        Some(ended.map_or(failed.clone(), |outcome| outcome.clone().unwrap_or(failed)))
    }

    fn boards(&self, key: Fingerprint, is_proven: bool) -> Option<Boarded> {
        let mut under_way = lock(&self.under_way);
        if let Some(waiting) = under_way.all.get(&key) {
            return Some(Boarded::Joins(waiting.clone()));
        }
        if !under_way.has_room(is_proven, self.most) {
            return None;
        }
        let (tell, waiting) = watch::channel(None);
        under_way.all.insert(key, waiting.clone());
        under_way.proven += usize::from(is_proven);
        let landing = Landing {
            under_way: Arc::clone(&self.under_way),
            key,
            is_proven,
        };
        Some(Boarded::Begins(waiting, tell, landing))
    }
}

/// How one who asks takes part in a check.
enum Boarded {
    Joins(Waiting),
    Begins(Waiting, watch::Sender<Option<Outcome>>, Landing),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::fingerprint::Salt;

    fn key(n: usize) -> Fingerprint {
        Salt([1; 16]).of(0, &n.to_le_bytes())
    }

    /// As many as there is room for, of those who leave at once.
    async fn fill(flights: &Flights, is_proven: bool, keys: std::ops::Range<usize>) -> usize {
        let mut begun = 0;
        for n in keys {
            let asks = flights.join(key(n), is_proven, || {
                begun += 1;
                std::future::pending()
            });
            // One look, and it is gone.
            tokio::select! {
                biased;
                _ = asks => {}
                () = std::future::ready(()) => {}
            }
        }
        begun
    }

    #[tokio::test]
    async fn who_asks_and_leaves_begins_no_more_checks_than_allowed() {
        let flights = Flights::new(2);
        assert_eq!(fill(&flights, false, 0..100).await, 24);
        assert_eq!(fill(&flights, false, 0..10).await, 0, "the same ones");
        assert_eq!(fill(&flights, true, 100..200).await, 8, "the other class");
        assert_eq!(lock(&flights.under_way).all.len(), 32);
        let none = flights.join(key(200), true, || async { Err(Refused::Missing) });
        assert!(none.await.is_none());
    }

    #[tokio::test]
    async fn a_check_that_has_ended_leaves_its_room() {
        let flights = Flights::new(1);
        for n in 0..100 {
            for is_proven in [true, false] {
                let check = || async { Err(Refused::NotAccepted) };
                let outcome = flights.join(key(n), is_proven, check).await;
                assert_eq!(outcome, Some(Err(Refused::NotAccepted)));
            }
        }
        let under_way = lock(&flights.under_way);
        assert_eq!((under_way.all.len(), under_way.proven), (0, 0));
    }
}
