//! How far each target has acknowledged each module.

use async_trait::async_trait;

use super::{Error, Lease, Result};
use crate::domain::{Cursor, ModuleName};

/// A row of `mirror_cursor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorCursor {
    /// The module.
    pub module: ModuleName,
    /// Everything up to here was acknowledged.
    pub cursor: Cursor,
    /// Grows when the broker lost its state and changes were sent again.
    pub generation: u64,
    /// Grows with every write.
    pub version: i64,
}

/// The mirror's cursors. They move only under the lease of their module.
#[async_trait]
pub trait MirrorCursors {
    /// The cursors of one target.
    async fn mirror_cursors(&self, target: &str) -> Result<Vec<MirrorCursor>>;

    /// The modules of which any target, configured or not, has acknowledged anything.
    async fn mirrored_modules(&self) -> Result<Vec<ModuleName>>;

    /// Writes cursors of one target, each in a transaction that locks the module's head row under
    /// its lease's token: created if missing, else only over the version that the caller has read.
    /// The given `version` is the one read (0 = missing before); returns the new ones in the same
    /// order. [`super::Error::LeaseLost`] writes none of them.
    async fn write_mirror_cursors(
        &self,
        target: &str,
        cursors: &[(Lease, MirrorCursor)],
    ) -> Result<Vec<i64>>;
}

/// What a database said about a write of cursors, before the commit.
pub(super) struct Outcome {
    /// Modules whose lease held, under lock.
    pub(super) held: Vec<String>,
    /// Modules whose cursor was written, with the new version.
    pub(super) written: Vec<(String, i64)>,
    /// The stored version of the first that was not written, if it has a row.
    pub(super) stored: Option<i64>,
}

impl Outcome {
    fn version(&self, module: &ModuleName) -> Option<i64> {
        let mut written = self.written.iter();
        written
            .find(|(name, _)| name == module.as_str())
            .map(|(_, version)| *version)
    }

    /// The first module whose cursor was not written.
    pub(super) fn unwritten<'a>(
        &self,
        cursors: &'a [(Lease, MirrorCursor)],
    ) -> Option<&'a ModuleName> {
        let mut modules = cursors.iter().map(|(lease, _)| &lease.module);
        modules.find(|module| self.version(module).is_none())
    }
}

/// The new versions in the order of `cursors`, or why nothing may be committed.
pub(super) fn in_order(cursors: &[(Lease, MirrorCursor)], outcome: &Outcome) -> Result<Vec<i64>> {
    for (lease, _) in cursors {
        if !outcome
            .held
            .iter()
            .any(|name| name == lease.module.as_str())
        {
            return Err(Error::LeaseLost {
                module: lease.module.clone(),
            });
        }
    }
    let version = |(lease, cursor): &(Lease, MirrorCursor)| {
        outcome
            .version(&lease.module)
            .ok_or(Error::VersionConflict {
                expected: cursor.version,
                current: outcome.stored.unwrap_or(0),
            })
    };
    cursors.iter().map(version).collect()
}
