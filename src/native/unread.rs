//! Why a native read was not answered.

use crate::{
    log::{Busy, Crowded, ReadError, Stale},
    store,
};

/// Why a read was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// No configuration names the module.
    #[error("no module of this name is configured")]
    UnknownModule,
    /// The module keeps no state, so there is nothing to take a snapshot of.
    #[error("this module keeps no state")]
    NoState,
    /// The log does not reach back so far, or the cursor is of another log.
    #[error("the log does not reach back so far")]
    Gone,
    /// The database cannot be asked whether this replica has everything.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// Too many reads of the database at once.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// As many readers wait as allowed.
    #[error(transparent)]
    Crowded(#[from] Crowded),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] store::Error),
}

impl Unread {
    /// Whether the same read may be answered later.
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::UnknownModule | Self::NoState | Self::Gone => false,
            Self::Stale(_) | Self::Busy(_) | Self::Crowded(_) => true,
            Self::Database(error) => error.is_transient(),
        }
    }
}

impl From<ReadError> for Unread {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFollowed => Self::UnknownModule,
            ReadError::Busy(busy) => Self::Busy(busy),
            ReadError::Database(error) => Self::Database(error),
        }
    }
}
