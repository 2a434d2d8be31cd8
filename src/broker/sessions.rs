//! How many sessions clients may have, connected or kept, and of them each caller.
//!
//! mqtt5 bounds connections only: a client that subscribes and drops leaves a session behind whose
//! queue goes on filling. Invariant: every session of a client was admitted here, and its client
//! id is counted from the admission on, as long as the broker stores the session.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use mqtt5::{
    broker::{DynamicStorage, StorageBackend},
    error::Result,
};
use tokio::sync::Mutex;

use crate::{config::broker::Broker, identity::passes::CallerMark};

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
    per_caller: usize,
    gateway: String,
    stored: Arc<DynamicStorage>,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    /// By client id. No session is without its entry; an entry may be without its session until the next count.
    admitted: HashMap<String, Admission>,
    /// How many of them are each caller's.
    by_caller: HashMap<CallerMark, usize>,
    count_again_at: Option<Instant>,
    /// Refused since it was told.
    refused: u64,
    told_at: Option<Instant>,
}

struct Admission {
    /// When it was let in last.
    at: Instant,
    /// Whose it is, as far as that is known.
    caller: Option<CallerMark>,
}

impl Sessions {
    pub(super) fn new(bounds: &Broker, gateway: &str, stored: Arc<DynamicStorage>) -> Self {
        Self {
            bound: bounds.max_sessions,
            per_caller: bounds.max_sessions_per_caller,
            gateway: gateway.to_owned(),
            stored,
            ledger: Mutex::default(),
        }
    }

    /// Whether this client of this caller may have a session: it has one, or there is room for one more.
    pub(super) async fn admit(&self, client_id: &str, caller: Option<CallerMark>) -> Result<bool> {
        let mut ledger = self.ledger.lock().await;
        let now = Instant::now();
        let mut bound = self.bound_against(&ledger, client_id, caller);
        if bound.is_some() && ledger.may_count(now) {
            let stored = self.stored.session_client_ids().await?;
            ledger.count(stored, &self.gateway, now);
            bound = self.bound_against(&ledger, client_id, caller);
        }
        match bound {
            None => ledger.admit(client_id, Admission { at: now, caller }),
            Some(key) => ledger.refuse(key, now),
        }
        Ok(bound.is_none())
    }

    /// The key of the bound that keeps a client out.
    fn bound_against(
        &self,
        ledger: &Ledger,
        client_id: &str,
        caller: Option<CallerMark>,
    ) -> Option<&'static str> {
        let of_caller = caller.and_then(|caller| ledger.by_caller.get(&caller));
        if ledger.admitted.contains_key(client_id) {
            None
        } else if ledger.admitted.len() >= self.bound {
            Some("broker.max_sessions")
        } else {
            let is_full = of_caller.is_some_and(|of_caller| *of_caller >= self.per_caller);
            is_full.then_some("broker.max_sessions_per_caller")
        }
    }
}

impl Ledger {
    fn admit(&mut self, client_id: &str, admission: Admission) {
        let (caller, before) = (
            admission.caller,
            self.admitted.insert(client_id.to_owned(), admission),
        );
        let before = before.and_then(|before| before.caller);
        if before == caller {
            return;
        }
        if let Some(count) = before.and_then(|before| self.by_caller.get_mut(&before)) {
            *count = count.saturating_sub(1);
        }
        if let Some(caller) = caller {
            *self.by_caller.entry(caller).or_default() += 1;
        }
    }

    fn may_count(&self, now: Instant) -> bool {
        self.count_again_at.is_none_or(|at| at <= now)
    }

    /// Forgets whom the broker has no session of.
    fn count(&mut self, stored: Vec<String>, gateway: &str, now: Instant) {
        let stored: HashSet<_> = stored.into_iter().filter(|id| id != gateway).collect();
        self.admitted.retain(|client_id, admission| {
            now.duration_since(admission.at) < SETTLING || stored.contains(client_id)
        });
        for client_id in stored {
            let unknown = Admission {
                at: now,
                caller: None,
            };
            self.admitted.entry(client_id).or_insert(unknown);
        }
        self.by_caller.clear();
        for caller in self.admitted.values().filter_map(|one| one.caller) {
            *self.by_caller.entry(caller).or_default() += 1;
        }
        let end = Instant::now();
        self.count_again_at = Some(end + end.duration_since(now) * COUNT_SHARE);
    }

    fn refuse(&mut self, key: &'static str, now: Instant) {
        self.refused += 1;
        if self
            .told_at
            .is_some_and(|at| now.duration_since(at) < TELL_EVERY)
        {
            return;
        }
        tracing::warn!(
            refused = self.refused,
            key,
            "the embedded broker refuses further clients: raise this bound, or lower broker.session_expiry"
        );
        self.refused = 0;
        self.told_at = Some(now);
    }
}
