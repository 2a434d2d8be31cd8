//! Checks that are under way, one for each credential.
//!
//! Invariant: a check ends for all who wait for it, also if the one who began it has gone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use super::Outcome;
use crate::identity::{
    Refused,
    fingerprint::{BuildAsItIs, Fingerprint},
};

type Waiting = watch::Receiver<Option<Outcome>>;

/// The checks. There are no more than requests that wait for one.
#[derive(Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<Fingerprint, Waiting, BuildAsItIs>>>);

/// Takes a check off the list, however it ends.
struct Landing {
    flights: Flights,
    key: Fingerprint,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.with(|all| all.remove(&self.key));
    }
}

impl Flights {
    /// What comes of the check that is under way, or of a new one.
    pub(super) async fn join<F>(&self, key: Fingerprint, begin: impl FnOnce() -> F) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let (tell, told) = watch::channel(None);
        let mut waiting = self.with(|all| all.entry(key).or_insert_with(|| told.clone()).clone());
        if waiting.same_channel(&told) {
            let landing = Landing {
                flights: Self(Arc::clone(&self.0)),
                key,
            };
            let check = begin();
            tokio::spawn(async move {
                let outcome = check.await;
                // Off the list first: who comes now finds what was remembered.
                drop(landing);
                tell.send_replace(Some(outcome));
            });
        }
        drop(told);
        let failed = Err(Refused::Unavailable { retry_after_s: 1 });
        let ended = waiting.wait_for(Option::is_some).await;
        ended.map_or(failed.clone(), |outcome| outcome.clone().unwrap_or(failed))
    }

    fn with<R>(&self, act: impl FnOnce(&mut HashMap<Fingerprint, Waiting, BuildAsItIs>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
