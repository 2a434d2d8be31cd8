//! How many checks go on at once, and whose.
//!
//! Credentials that were right before have places of their own, a quarter of all; the others share the rest, and of one address no more are checked at a
//! time than its share. So nobody who sends what nobody knows makes a caller wait, and no address the others.
//!
//! Invariants: no more checks go on at once than allowed; no more addresses are remembered than checks are under way or wait for a place, and of one
//! address no more wait than named here. Not to get a place says nothing of the back end.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::Asker;
use crate::{config::auth::Forward, domain::sender};

/// How many checks of one address may wait for each that goes on.
const LINE: usize = 16;

/// The gate.
pub(super) struct Gate {
    all: Arc<Semaphore>,
    unproven: Arc<Semaphore>,
    share: usize,
    senders: Mutex<HashMap<IpAddr, Sender>>,
}

/// An address whose checks are under way, or wait.
struct Sender {
    places: Arc<Semaphore>,
    checks: usize,
}

/// A place: for as long as it is held, one check more may not begin.
pub(super) struct Place<'a> {
    _permits: [Option<OwnedSemaphorePermit>; 3],
    _counted: Option<Counted<'a>>,
}

/// A check that counts for its address.
struct Counted<'a> {
    gate: &'a Gate,
    from: IpAddr,
}

impl Gate {
    pub(super) fn new(settings: &Forward) -> Self {
        let all = settings.max_concurrent;
        Self {
            all: Arc::new(Semaphore::new(all)),
            unproven: Arc::new(Semaphore::new(all - all / 4)),
            share: settings.max_concurrent_per_address,
            senders: Mutex::default(),
        }
    }

    /// A place for a check; none if as many as allowed go on for so long.
    pub(super) async fn enter(&self, asker: &Asker, patience: Duration) -> Option<Place<'_>> {
        timeout(patience, self.place(asker)).await.ok()?
    }

    async fn place(&self, asker: &Asker) -> Option<Place<'_>> {
        if asker.is_proven {
            let place = Arc::clone(&self.all).acquire_owned().await.ok();
            return Some(Place {
                _permits: [place, None, None],
                _counted: None,
            });
        }
        let (counted, places) = self.count(sender(asker.from))?;
        // Its own first: who waits for that holds nobody up.
        let own = places.acquire_owned().await.ok();
        let shared = Arc::clone(&self.unproven).acquire_owned().await.ok();
        let place = Arc::clone(&self.all).acquire_owned().await.ok();
        Some(Place {
            _permits: [place, shared, own],
            _counted: Some(counted),
        })
    }

    fn count(&self, from: IpAddr) -> Option<(Counted<'_>, Arc<Semaphore>)> {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = senders.entry(from).or_insert_with(|| Sender {
            places: Arc::new(Semaphore::new(self.share)),
            checks: 0,
        });
        if sender.checks >= self.share * (LINE + 1) {
            return None;
        }
        sender.checks += 1;
        Some((Counted { gate: self, from }, Arc::clone(&sender.places)))
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let senders = self.gate.senders.lock();
        let mut senders = senders.unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = senders.get_mut(&self.from) {
            sender.checks -= 1;
            if sender.checks == 0 {
                senders.remove(&self.from);
            }
        }
    }
}
