//! How far each target has acknowledged each module.

use async_trait::async_trait;

use super::{Lease, Result};
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
