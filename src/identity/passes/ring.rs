//! The keys in memory.
//!
//! Invariants: a key signs only from a time at which every replica has long read it; what it has signed is believed until it is gone
//! from the table; keys that are known stay so while the database is away. Times are the database's, so that the clocks of replicas
//! need not agree: the ring knows how far this machine's is off.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::{
    domain::Micros,
    store::{SigningKey, SigningKeysRead},
};

/// One key.
#[derive(Clone)]
pub(in crate::identity) struct Key {
    id: u64,
    keyed: Hmac<Sha256>,
    signs_from: Micros,
    retires_at: Option<Micros>,
}

impl Key {
    pub(in crate::identity) const fn id(&self) -> u64 {
        self.id
    }

    /// The proof of what these parts are together. A part that can be of any length must be the last.
    pub(in crate::identity) fn prove(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.over(parts).finalize().into_bytes().into()
    }

    /// Whether this is the proof of that, or its beginning. Takes as long for a nearly right one as for a wrong one.
    pub(in crate::identity) fn is_proof(&self, parts: &[&[u8]], proof: &[u8]) -> bool {
        self.over(parts).verify_truncated_left(proof).is_ok()
    }

    fn over(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

/// All keys that this replica knows.
#[derive(Default)]
pub struct KeyRing(ArcSwap<Known>);

/// What was read last.
#[derive(Default)]
struct Known {
    /// In the order in which they sign.
    keys: Vec<Arc<Key>>,
    /// How far the database's clock is before this machine's, in microseconds. None before the first reading.
    ahead: Option<i64>,
}

impl KeyRing {
    /// Takes over what the database answered between two times of this machine.
    ///
    /// Its clock was read at some moment between these. What is known of the clocks changes no more than that makes it: a reading that
    /// takes long tells little, and must not make passes end early.
    pub fn adopt(&self, read: &SigningKeysRead, (asked, answered): (Micros, Micros)) {
        let most = read.now.get().saturating_sub(asked.get());
        let least = read.now.get().saturating_sub(answered.get()).min(most);
        let ahead = self.0.load().ahead.unwrap_or(i64::midpoint(least, most));
        let keys = read.keys.iter().filter_map(key).collect();
        self.0.store(Arc::new(Known {
            keys,
            ahead: Some(ahead.clamp(least, most)),
        }));
    }

    /// The time of this machine as the database would tell it.
    pub(in crate::identity) fn shared(&self, now: Micros) -> Micros {
        self.0.load().shared(now)
    }

    /// The key that signs now: the newest whose time has come.
    pub(in crate::identity) fn signing(&self, now: Micros) -> Option<Arc<Key>> {
        let known = self.0.load();
        let now = known.shared(now);
        let mut ready = known.keys.iter().rev().filter(|key| key.signs_from <= now);
        ready.next().cloned()
    }

    /// The key that signed at that time, if what it has signed is believed, else the oldest that is: the same on each replica for as long
    /// as keys are kept.
    pub(in crate::identity) fn signing_since(&self, at: Micros, now: Micros) -> Option<Arc<Key>> {
        let known = self.0.load();
        let now = known.shared(now);
        let is_on = |key: &&Arc<Key>| key.retires_at.is_none_or(|end| now < end);
        let mut ready = known.keys.iter().rev().filter(is_on);
        let signed_then = ready.find(|key| key.signs_from <= at);
        signed_then
            .or_else(|| known.keys.iter().find(is_on))
            .cloned()
    }

    /// The keys that have signed within so long, and are known.
    pub(in crate::identity) fn signing_within(&self, span: Duration, now: Micros) -> Vec<Arc<Key>> {
        let known = self.0.load();
        let now = known.shared(now);
        let since = now.minus(span);
        let began = known.keys.iter().filter(|key| key.signs_from <= now);
        let began: Vec<_> = began.collect();
        let last = began.iter().rposition(|key| key.signs_from <= since);
        let signed = began.into_iter().skip(last.unwrap_or_default());
        signed.cloned().collect()
    }

    /// The key of this id, if what it has signed is believed.
    pub(in crate::identity) fn believed(&self, id: u64, now: Micros) -> Option<Arc<Key>> {
        let known = self.0.load();
        let now = known.shared(now);
        let mut named = known.keys.iter().filter(|key| key.id == id);
        let is_on = |key: &&Arc<Key>| key.retires_at.is_none_or(|at| now < at);
        named.find(is_on).cloned()
    }
}

impl Known {
    fn shared(&self, now: Micros) -> Micros {
        Micros::new(now.get().saturating_add(self.ahead.unwrap_or_default()))
    }
}

/// A key as the table has it; one that this release cannot use is left out.
fn key(stored: &SigningKey) -> Option<Arc<Key>> {
    let id = u64::from_str_radix(&stored.id, 16).ok();
    let keyed = Hmac::<Sha256>::new_from_slice(&stored.secret).ok();
    let is_long = stored.secret.len() >= LEAST_BYTES;
    let Some((id, keyed)) = id.zip(keyed).filter(|_| is_long) else {
        tracing::warn!(id = %stored.id, "a signing key cannot be used: what it has signed is not believed");
        return None;
    };
    Some(Arc::new(Key {
        id,
        keyed,
        signs_from: stored.signs_from,
        retires_at: stored.retires_at,
    }))
}

/// A shorter secret was not made here.
const LEAST_BYTES: usize = 32;
