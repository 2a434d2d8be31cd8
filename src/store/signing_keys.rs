//! The keys that sign what clients enter brokers with, shared by all replicas.

use std::fmt;

use async_trait::async_trait;

use super::Result;
use crate::domain::Micros;

/// A row of `signing_key`. Times are the database's.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// What is signed with it names it so.
    pub id: String,
    /// Never shown.
    pub secret: Vec<u8>,
    /// From when on it signs.
    pub signs_from: Micros,
    /// Until when what it has signed is believed; absent = it has no successor yet.
    pub retires_at: Option<Micros>,
}

/// Without the secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .field("signs_from", &self.signs_from)
            .field("retires_at", &self.retires_at)
            .finish_non_exhaustive()
    }
}

/// The keys as the database had them at `now`, by its own clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeysRead {
    /// When they were read.
    pub now: Micros,
    /// In the order in which they sign.
    pub keys: Vec<SigningKey>,
}

/// A key to be added.
#[derive(Debug, Clone)]
pub struct SigningKeyAdded<'a> {
    /// The key; what it signs is believed without an end so far.
    pub key: &'a SigningKey,
    /// The newest key that is known: if another key follows it already, or signs later, nothing is added.
    pub after: Option<&'a SigningKey>,
    /// When the keys before it retire.
    pub before_retire_at: Micros,
}

impl SigningKeyAdded<'_> {
    /// The key that it follows, as a text that no two rows have: of several replicas that make the next key at once, one does. The first
    /// follows none, whose id is empty.
    pub(super) fn follows(&self) -> &str {
        self.after.map_or("", |newest| &newest.id)
    }

    /// No key signs later than this.
    pub(super) fn latest(&self) -> i64 {
        self.after.map_or(NEVER, |newest| newest.signs_from.get())
    }
}

/// Before every key.
const NEVER: i64 = -1;

/// The keys.
#[async_trait]
pub trait SigningKeys {
    /// All of them.
    async fn signing_keys(&self) -> Result<SigningKeysRead>;

    /// Adds a key and retires those before it. False if somebody else has added one meanwhile.
    async fn add_signing_key(&self, added: &SigningKeyAdded<'_>) -> Result<bool>;

    /// Forgets the keys that have retired. Returns how many.
    async fn forget_signing_keys(&self) -> Result<u64>;
}
