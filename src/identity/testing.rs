//! Callers, and the passes that they get, for the tests of every room.
//!
//! Invariant: whatever a test does not say of a caller is as little as can be: one realm, its own client id, no end.

use std::{sync::Arc, time::Duration};

use super::{
    Caller, ClientIds, Identity, Who,
    passes::{KeyRing, Passes},
};
use crate::{
    domain::{Audience, Micros, SystemClock},
    store::{SigningKey, SigningKeysRead},
};

/// A caller of the realm `jwt` that reads these audiences, which are sorted.
pub(crate) fn caller(id: &str, audiences: &[&str]) -> Caller {
    let audiences = audiences.iter().map(|text| Audience::stored(*text));
    Caller {
        by: 0,
        realm: "jwt".into(),
        id: id.into(),
        client_ids: ClientIds::Own,
        audiences: audiences.collect(),
        claims: Box::default(),
        agent: None,
        expires_at: None,
    }
}

/// The same, as it asks.
pub(crate) fn known(id: &str, audiences: &[&str]) -> Who {
    Who::Known(Arc::new(caller(id, audiences)))
}

/// Passes for an hour, of open callers.
#[cfg(test)]
pub(crate) fn open_passes() -> Arc<Passes> {
    passes(Identity::open(), Duration::from_hours(1))
}

/// Passes for so long, under one key that has always signed, of the callers of this `identity`.
pub(crate) fn passes(identity: Identity, lifetime: Duration) -> Arc<Passes> {
    let ring = Arc::<KeyRing>::default();
    let now = Micros::new(0);
    let key = SigningKey {
        id: "1".to_owned(),
        secret: vec![7; 32],
        signs_from: now,
        retires_at: None,
    };
    let keys = vec![key];
    ring.adopt(&SigningKeysRead { now, keys }, (now, now));
    let clock = Arc::new(SystemClock);
    Arc::new(Passes::new(Arc::new(identity), ring, clock, lifetime))
}
