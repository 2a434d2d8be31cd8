//! Which modules this replica may number and mirror, as far as it knows.
//!
//! The fence in the database decides; this is what spares the others from asking it. A lease
//! counts from before the call that took it, so this replica gives up before the database does. A lease that is being
//! handed over is still held, so that what was begun under it can be finished; nothing new begins.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{
    domain::{Cursor, ModuleName},
    store::Lease,
};

#[derive(Debug, Clone)]
struct Held {
    lease: Lease,
    until: Instant,
    /// Where the log ended when the lease was taken, if that was looked at.
    began: Option<Cursor>,
    /// It is being handed over.
    leaving: bool,
    stays: Arc<AtomicUsize>,
}

/// Work under a lease that a hand-over waits for, a little. Ends with this value.
#[derive(Debug)]
pub struct Stay(Arc<AtomicUsize>);

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

type HeldByModule = Arc<BTreeMap<ModuleName, Held>>;

/// The leases of this replica, shared between the sequencer that keeps them and the mirror that
/// depends on them.
#[derive(Debug)]
pub struct Leadership {
    held: watch::Sender<HeldByModule>,
}

impl Default for Leadership {
    fn default() -> Self {
        Self {
            held: watch::Sender::new(HeldByModule::default()),
        }
    }
}

impl Leadership {
    /// Records leases that were taken or renewed by a call which began at `asked_at`.
    pub fn hold(&self, leases: &[Lease], asked_at: Instant, span: Duration) {
        self.held.send_if_modified(|held| {
            let held = Arc::make_mut(held);
            let mut taken = false;
            for lease in leases {
                let known = held.get(&lease.module);
                let known = known.filter(|known| known.lease == *lease);
                taken |= known.is_none();
                let fresh = Held {
                    lease: lease.clone(),
                    until: asked_at + span,
                    began: known.and_then(|known| known.began),
                    leaving: known.is_some_and(|known| known.leaving),
                    stays: known.map_or_else(Arc::default, |known| Arc::clone(&known.stays)),
                };
                held.insert(lease.module.clone(), fresh);
            }
            // Every numbered batch renews: waking those who follow the leases would tell them nothing.
            taken
        });
    }

    /// Records where the log of a lease that is held ended when it was taken: nobody else has numbered, and
    /// no target was shown more, since.
    pub fn began(&self, lease: &Lease, head: Cursor) {
        self.held.send_if_modified(|held| {
            let ours = Arc::make_mut(held).get_mut(&lease.module);
            if let Some(ours) = ours.filter(|ours| ours.lease == *lease) {
                ours.began = Some(head);
            }
            false
        });
    }

    /// Where the log ended when this lease was taken, as long as it is held.
    pub fn beginning(&self, lease: &Lease) -> Option<Cursor> {
        let held = self.held.borrow();
        let held = held.get(&lease.module)?;
        held.began.filter(|_| held.lease == *lease)
    }

    /// Forgets a lease that was lost or given back; a newer one of the same module stays.
    pub fn lose(&self, lease: &Lease) {
        self.held.send_if_modified(|held| {
            let ours = held.get(&lease.module).is_some_and(|h| h.lease == *lease);
            if ours {
                Arc::make_mut(held).remove(&lease.module);
            }
            ours
        });
    }

    /// The lease of a module, while it may be relied on and is not being handed over.
    pub fn lease(&self, module: &ModuleName) -> Option<Lease> {
        let held = self.held.borrow();
        let held = held.get(module)?;
        (held.until > Instant::now() && !held.leaving).then(|| held.lease.clone())
    }

    /// Whether a lease may be relied on, if only to finish what was begun under it.
    pub fn keeps(&self, lease: &Lease) -> bool {
        let held = self.held.borrow();
        let held = held.get(&lease.module);
        held.is_some_and(|held| held.lease == *lease && held.until > Instant::now())
    }

    /// Begins the hand-over of a lease: nothing new is begun under it.
    pub fn begin_leaving(&self, lease: &Lease) {
        self.set_leaving(lease, true);
    }

    /// Calls a hand-over off.
    pub fn stop_leaving(&self, lease: &Lease) {
        self.set_leaving(lease, false);
    }

    fn set_leaving(&self, lease: &Lease, leaving: bool) {
        self.held.send_if_modified(|held| {
            let ours = Arc::make_mut(held).get_mut(&lease.module);
            let ours = ours.filter(|ours| ours.lease == *lease && ours.leaving != leaving);
            ours.map(|ours| ours.leaving = leaving).is_some()
        });
    }

    /// Enters work that a hand-over of this lease is to wait for. `None` if it is not held, or being handed over.
    pub fn stay(&self, lease: &Lease) -> Option<Stay> {
        let held = self.held.borrow();
        let held = held.get(&lease.module)?;
        let may = held.lease == *lease && held.until > Instant::now() && !held.leaving;
        may.then(|| {
            held.stays.fetch_add(1, Relaxed);
            Stay(Arc::clone(&held.stays))
        })
    }

    /// Whether work under this lease goes on.
    pub fn is_in_use(&self, lease: &Lease) -> bool {
        let held = self.held.borrow();
        let held = held.get(&lease.module).filter(|held| held.lease == *lease);
        held.is_some_and(|held| held.stays.load(Relaxed) > 0)
    }

    /// All leases that were taken and not lost, expired ones included: those the sequencer must
    /// renew or find lost.
    pub fn leases(&self) -> Vec<Lease> {
        let held = self.held.borrow();
        held.values().map(|held| held.lease.clone()).collect()
    }

    /// Changes whenever a lease is taken or lost; not when one is renewed.
    pub fn changes(&self) -> LeadershipChanges {
        LeadershipChanges(self.held.subscribe())
    }
}

/// A wait for the next change of a [`Leadership`].
#[derive(Debug)]
pub struct LeadershipChanges(watch::Receiver<HeldByModule>);

impl LeadershipChanges {
    /// Returns after the next change; at once if one was missed. Never returns once the
    /// leadership is gone.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
