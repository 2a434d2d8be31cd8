//! How many sessions strangers may have, connected or kept.
//!
//! mqtt5 bounds connections only: a client that subscribes and drops leaves a session behind whose
//! queue goes on filling. Invariant: every session of a stranger was admitted here, and its client
//! id is counted from the admission on, as long as the broker stores the session.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mqtt5::{
    broker::{DynamicStorage, StorageBackend},
    error::Result,
};
use tokio::sync::Mutex;

/// An admitted client counts this long although no session of it is seen: the broker stores it
/// only after the gate has answered. It takes microseconds; no packet of the client is waited for.
const SETTLING: Duration = Duration::from_secs(2);

/// What is refused is told no more often.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// A count takes time that grows with the bound: it may take this share of one core (one part in ...).
const COUNT_SHARE: u32 = 20;

/// The sessions of one broker. The gateway's own is not counted.
pub(super) struct Sessions {
    bound: usize,
    gateway: String,
    stored: Arc<DynamicStorage>,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    /// When each client id was let in last. No session is without its entry; an entry may be
    /// without its session until the next count.
    admitted: HashMap<String, Instant>,
    count_again_at: Option<Instant>,
    /// Refused since it was told.
    refused: u64,
    told_at: Option<Instant>,
}

impl Sessions {
    pub(super) fn new(bound: usize, gateway: &str, stored: Arc<DynamicStorage>) -> Self {
        Self {
            bound,
            gateway: gateway.to_owned(),
            stored,
            ledger: Mutex::default(),
        }
    }

    /// Whether this client may have a session: it has one, or there is room for one more.
    pub(super) async fn admit(&self, client_id: &str) -> Result<bool> {
        let mut ledger = self.ledger.lock().await;
        let now = Instant::now();
        if !ledger.has_room_for(client_id, self.bound) && ledger.may_count(now) {
            let stored = self.stored.session_client_ids().await?;
            ledger.count(stored, &self.gateway, now);
        }
        let admitted = ledger.has_room_for(client_id, self.bound);
        if admitted {
            ledger.admitted.insert(client_id.to_owned(), now);
        } else {
            ledger.refuse(self.bound, now);
        }
        Ok(admitted)
    }
}

impl Ledger {
    fn has_room_for(&self, client_id: &str, bound: usize) -> bool {
        self.admitted.len() < bound || self.admitted.contains_key(client_id)
    }

    fn may_count(&self, now: Instant) -> bool {
        self.count_again_at.is_none_or(|at| at <= now)
    }

    /// Forgets whom the broker has no session of.
    fn count(&mut self, stored: Vec<String>, gateway: &str, now: Instant) {
        self.admitted
            .retain(|_, at| now.duration_since(*at) < SETTLING);
        for client_id in stored {
            if client_id != gateway {
                self.admitted.entry(client_id).or_insert(now);
            }
        }
        let end = Instant::now();
        self.count_again_at = Some(end + end.duration_since(now) * COUNT_SHARE);
    }

    fn refuse(&mut self, bound: usize, now: Instant) {
        self.refused += 1;
        if self
            .told_at
            .is_some_and(|at| now.duration_since(at) < TELL_EVERY)
        {
            return;
        }
        tracing::warn!(
            refused = self.refused,
            bound,
            "broker.max_sessions: the embedded broker refuses further clients; raise it, or lower broker.session_expiry"
        );
        self.refused = 0;
        self.told_at = Some(now);
    }
}
