//! The keys that are in force.
//!
//! Invariant: the edition grows before anybody is recognized by what is left when a key has gone, so what the gone key signed is not
//! believed any more.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwapOption;

use super::keys::Keys;

/// The keys that are in force; none until they have been read.
#[derive(Default)]
pub(super) struct Keyring {
    keys: ArcSwapOption<Keys>,
    edition: AtomicU64,
}

impl Keyring {
    pub(super) fn load(&self) -> Option<Arc<Keys>> {
        self.keys.load_full()
    }

    /// It grows when a key goes.
    pub(super) fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    /// Puts other keys in force. Returns whether they differ.
    pub(super) fn install(&self, keys: Keys) -> bool {
        let before = self.load();
        let lost = before
            .as_ref()
            .is_some_and(|before| !before.are_all_in(&keys));
        let gained = before.is_none_or(|before| !keys.are_all_in(&before));
        self.keys.store(Some(Arc::new(keys)));
        if lost {
            self.edition.fetch_add(1, Ordering::AcqRel);
        }
        lost || gained
    }

    /// Takes all keys out of force. Returns whether there were some.
    pub(super) fn withdraw(&self) -> bool {
        let were_there = self.keys.swap(None).is_some();
        if were_there {
            self.edition.fetch_add(1, Ordering::AcqRel);
        }
        were_there
    }
}
