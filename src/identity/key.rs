//! Callers with a key of their own.
//!
//! Keys are found by the beginning of their hash, so a wrong one costs the same however many there are. How long that takes tells at most whether some key's hash
//! begins as that of the tried one does, which is no way to a key: who tries has chosen the key and not its hash, and keys are long and random. The
//! whole hash is compared in a time that tells nothing.
//!
//! Invariant: keys are known by their hashes only, and how long a comparison takes tells nothing of them.

use std::{collections::HashMap, sync::Arc};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    Caller,
    claims::{Subject, Unfit},
    fingerprint::BuildAsItIs,
    granting::Granting,
};
use crate::config::auth::{Key, KnownKey};

/// Recognizes keys.
pub(super) struct KeyRecognizer {
    keys: Index,
    granting: Granting,
}

/// Keys by the beginning of their hashes.
struct Index(HashMap<u64, Vec<KnownKey>, BuildAsItIs>);

impl KeyRecognizer {
    pub(super) fn new(settings: Key, granting: Granting) -> Self {
        Self {
            keys: Index::of(settings.keys),
            granting,
        }
    }

    /// Whose key it is; `None` = nobody's.
    pub(super) fn recognize(&self, credential: &[u8]) -> Option<Result<Arc<Caller>, Unfit>> {
        let known = self.keys.find(&Sha256::digest(credential).into())?;
        let caller = self
            .granting
            .caller(&Subject(&known.id), &known.audiences, None);
        Some(caller.map(Arc::new))
    }
}

impl Index {
    fn of(keys: Vec<KnownKey>) -> Self {
        let mut all: HashMap<_, Vec<_>, _> = HashMap::default();
        for key in keys {
            all.entry(beginning(&key.hash)).or_default().push(key);
        }
        Self(all)
    }

    fn find(&self, hash: &[u8; 32]) -> Option<&KnownKey> {
        let alike = self.0.get(&beginning(hash))?;
        alike.iter().find(|known| known.hash.ct_eq(hash).into())
    }
}

fn beginning(hash: &[u8; 32]) -> u64 {
    let first = hash.first_chunk().expect("a hash has 32 bytes");
    u64::from_le_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(hash: [u8; 32], id: usize) -> KnownKey {
        KnownKey {
            hash,
            id: id.to_string(),
            audiences: Vec::new(),
        }
    }

    fn hash(n: usize) -> [u8; 32] {
        Sha256::digest(n.to_le_bytes()).into()
    }

    #[test]
    fn keys_whose_hashes_begin_alike_are_told_apart() {
        let mut alike = hash(0);
        alike[31] ^= 1;
        let mut unknown = hash(0);
        unknown[8] ^= 1;
        let index = Index::of(vec![known(hash(0), 0), known(alike, 1)]);
        let found = |hash: &[u8; 32]| index.find(hash).map(|known| known.id.clone());
        assert_eq!(found(&hash(0)).as_deref(), Some("0"));
        assert_eq!(found(&alike).as_deref(), Some("1"));
        assert_eq!(found(&unknown), None);
    }

    #[test]
    fn however_many_there_are_few_are_compared() {
        let index = Index::of((0..10_000).map(|n| known(hash(n), n)).collect());
        assert!(index.0.values().all(|alike| alike.len() == 1));
        for n in 0..10_000 {
            let found = index.find(&hash(n)).map(|known| known.id.clone());
            assert_eq!(found, Some(n.to_string()));
        }
        assert!(index.find(&hash(10_000)).is_none());
    }
}
