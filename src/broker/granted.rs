//! What the clients that are connected have shown, and until when it is good.
//!
//! Invariants: a client is here from when the gate has let it in until its connections have ended; once the pass of its newest one
//! has expired, it grants nothing more and its connection is ended. Without an entry nothing is granted.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::identity::passes::Pass;

/// The passes by MQTT client id.
pub(super) struct Granted {
    by_client: Mutex<HashMap<String, Grant>>,
    bound: usize,
}

struct Grant {
    pass: Pass,
    expires: Instant,
    /// Connections that were let in and have not ended: two for a moment while one takes over.
    connections: u32,
    /// Whether its expiry was told.
    is_over: bool,
}

impl Granted {
    /// Of so many clients at most.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            by_client: Mutex::default(),
            bound,
        }
    }

    /// Notes who is let in. False if there are too many.
    pub(super) fn enters(&self, pass: Pass, left: Duration, now: Instant) -> bool {
        let mut all = self.all();
        if all.len() >= self.bound && !all.contains_key(pass.client_id()) {
            return false;
        }
        // An hour where the clock cannot count so far: who enters is asked again then.
        let expires = now.checked_add(left).unwrap_or(now + LONGEST);
        let connections = all
            .get(pass.client_id())
            .map_or(0, |grant| grant.connections);
        let client_id = pass.client_id().to_owned();
        let grant = Grant {
            pass,
            expires,
            connections: connections.saturating_add(1),
            is_over: false,
        };
        all.insert(client_id, grant);
        true
    }

    /// Notes that a connection has ended.
    pub(super) fn leaves(&self, client_id: &str) {
        let mut all = self.all();
        if let Some(grant) = all.get_mut(client_id) {
            grant.connections = grant.connections.saturating_sub(1);
            if grant.connections == 0 {
                all.remove(client_id);
            }
        }
    }

    /// What is so for the pass of a client, if it has one that is good.
    pub(super) fn of(&self, client_id: &str, now: Instant, is_so: impl Fn(&Pass) -> bool) -> bool {
        let all = self.all();
        let grant = all.get(client_id).filter(|grant| now < grant.expires);
        grant.is_some_and(|grant| is_so(&grant.pass))
    }

    /// Whose pass has expired since this was asked last.
    pub(super) fn expire(&self, now: Instant) -> Vec<String> {
        let mut all = self.all();
        // Who was let in and never came as far as to leave.
        all.retain(|_, grant| now.saturating_duration_since(grant.expires) < LOST);
        let over = all
            .iter_mut()
            .filter(|(_, grant)| grant.expires <= now && !grant.is_over);
        over.map(|(client_id, grant)| {
            grant.is_over = true;
            client_id.clone()
        })
        .collect()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Grant>> {
        self.by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

const LONGEST: Duration = Duration::from_hours(1);

/// A connection that is ended is gone long before.
const LOST: Duration = Duration::from_mins(1);
