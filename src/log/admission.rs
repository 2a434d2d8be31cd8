//! Admission of reads, by class.
//!
//! Invariant: reads of the database never take a place from reads of the tail.

use crate::domain::ModuleName;

/// What a read costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Memory only.
    Tail,
    /// The database.
    Database,
}

/// No place became free in time: come back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many reads at once")]
pub struct Busy {
    /// What `Retry-After` says.
    pub retry_after_s: u32,
}

/// The bounds on concurrent reads.
#[derive(Debug, Default)]
pub struct Admission {}

/// A read that was admitted; dropped, its place is free.
#[derive(Debug)]
#[must_use = "the place is free once this is dropped"]
pub struct Permit {}

impl Admission {
    /// Waits for a place, not longer than configured.
    pub async fn enter(&self, _class: Class, _module: &ModuleName) -> Result<Permit, Busy> {
        Ok(Permit {})
    }
}
