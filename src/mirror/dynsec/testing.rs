//! Passes and callers for the tests of this room.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{Micros, SystemClock},
    identity::{
        Caller, ClientIds, Identity, Who,
        passes::{KeyRing, Passes},
    },
    store::{SigningKey, SigningKeysRead},
};

/// Passes for an hour, with a key, of open callers.
pub(super) fn passes() -> Passes {
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
    let identity = Arc::new(Identity::open());
    let hour = Duration::from_hours(1);
    Passes::new(identity, ring, Arc::new(SystemClock), hour)
}

/// Somebody of this id.
pub(super) fn caller(id: &str) -> Who {
    Who::Known(Arc::new(Caller {
        by: 0,
        realm: "jwt".into(),
        id: id.into(),
        client_ids: ClientIds::Any,
        audiences: Arc::default(),
        claims: Box::default(),
        agent: None,
        expires_at: None,
    }))
}
