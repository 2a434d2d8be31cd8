//! How many checks go on at once, and whose.
//!
//! There are two classes of credentials: those that were right before, and the others. Neither takes more than three quarters of all places, so a quarter is always
//! left for the other; and of one address, or of one caller whose credentials were right, no more are checked at a time than its share. So nobody
//! who sends what nobody knows makes a caller wait, no caller with many credentials those who come for the first time, and neither his likes.
//!
//! Invariants: no more checks go on at once than allowed; no more senders are remembered than checks are under way or wait for a place, and of one
//! no more wait than named here. Not to get a place says nothing of the back end.

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

use crate::{config::auth::Forward, domain::sender, identity::verdicts::Past};

/// How many checks of one sender may wait for each that goes on.
const LINE: usize = 16;

/// For whom a check is: who shares its places.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// A caller whose credential was right before. One router may stand before many of them, so it is not their address.
    Caller(Arc<str>),
    /// Whoever sends from there what was never right, or is no more.
    Address(IpAddr),
}

/// For whom a credential is checked that was this before.
pub(super) fn whose(past: &Past, from: IpAddr) -> Whose {
    past.proven().map_or_else(
        || Whose::Address(sender(from)),
        |caller| Whose::Caller(Arc::clone(&caller.id)),
    )
}

/// The gate.
pub(super) struct Gate {
    all: Arc<Semaphore>,
    proven: Arc<Semaphore>,
    unproven: Arc<Semaphore>,
    share: usize,
    senders: Mutex<HashMap<Whose, Sender>>,
}

/// One whose checks are under way, or wait.
struct Sender {
    places: Arc<Semaphore>,
    checks: usize,
}

/// A place: for as long as it is held, one check more may not begin.
pub(super) struct Place<'a> {
    _permits: [Option<OwnedSemaphorePermit>; 3],
    _counted: Counted<'a>,
}

/// A check that counts for its sender.
struct Counted<'a> {
    gate: &'a Gate,
    whose: Whose,
}

impl Gate {
    pub(super) fn new(settings: &Forward) -> Self {
        let all = settings.max_concurrent;
        let of_one_class = || Arc::new(Semaphore::new(all - all / 4));
        Self {
            all: Arc::new(Semaphore::new(all)),
            proven: of_one_class(),
            unproven: of_one_class(),
            share: settings.max_concurrent_per_address,
            senders: Mutex::default(),
        }
    }

    /// A place for a check; none if as many as allowed go on for so long.
    pub(super) async fn enter(&self, whose: Whose, patience: Duration) -> Option<Place<'_>> {
        timeout(patience, self.place(whose)).await.ok()?
    }

    async fn place(&self, whose: Whose) -> Option<Place<'_>> {
        let of_its_class = match whose {
            Whose::Caller(_) => Arc::clone(&self.proven),
            Whose::Address(_) => Arc::clone(&self.unproven),
        };
        let (counted, places) = self.count(whose)?;
        // Its own first: who waits for that holds nobody up.
        let own = places.acquire_owned().await.ok();
        let shared = of_its_class.acquire_owned().await.ok();
        let place = Arc::clone(&self.all).acquire_owned().await.ok();
        Some(Place {
            _permits: [place, shared, own],
            _counted: counted,
        })
    }

    fn count(&self, whose: Whose) -> Option<(Counted<'_>, Arc<Semaphore>)> {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = senders.entry(whose.clone()).or_insert_with(|| Sender {
            places: Arc::new(Semaphore::new(self.share)),
            checks: 0,
        });
        if sender.checks >= self.share * (LINE + 1) {
            return None;
        }
        sender.checks += 1;
        let places = Arc::clone(&sender.places);
        Some((Counted { gate: self, whose }, places))
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let senders = self.gate.senders.lock();
        let mut senders = senders.unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = senders.get_mut(&self.whose) {
            sender.checks -= 1;
            if sender.checks == 0 {
                senders.remove(&self.whose);
            }
        }
    }
}
