//! By what a credential is remembered: a hash that nobody else can compute.
//!
//! Invariant: nothing that is remembered holds a credential.

use std::{
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
};

use sha2::{Digest, Sha256};

/// SHA-256 of a credential, with the salt of this process and the place of its recognizer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

/// Bytes of this process alone, so that nobody can choose where in a table a credential falls.
#[derive(Clone, Copy)]
pub(super) struct Salt(pub(super) [u8; 16]);

impl Salt {
    /// Begins the fingerprint of what a request showed to the recognizer at a place.
    pub(super) fn begin(self, place: u8) -> Showing {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update([place]);
        Showing(hash)
    }

    /// The fingerprint of one credential.
    pub(super) fn of(self, place: u8, credential: &[u8]) -> Fingerprint {
        self.begin(place).with(credential).done()
    }
}

/// A fingerprint that is being made.
pub(super) struct Showing(Sha256);

impl Showing {
    /// One part more; its length keeps it apart from the next.
    #[must_use]
    pub(super) fn with(self, part: &[u8]) -> Self {
        let mut begun = self.count(part.len());
        begun.0.update(part);
        begun
    }

    /// How many parts of one sort are to follow.
    #[must_use]
    pub(super) fn count(mut self, count: usize) -> Self {
        self.0.update(count.to_le_bytes());
        self
    }

    pub(super) fn done(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}

impl Fingerprint {
    /// Its beginning: enough to tell a handful apart.
    pub(super) fn short(&self) -> u64 {
        let first = self.0.first_chunk().expect("a hash has 32 bytes");
        u64::from_le_bytes(*first)
    }
}

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.short());
    }
}

/// Shows nothing that could be compared.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

/// A hasher for what is a hash already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AsItIs(u64);

/// Makes them.
pub(super) type BuildAsItIs = BuildHasherDefault<AsItIs>;

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
