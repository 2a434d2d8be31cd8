//! Since when the census of each module is kept without a gap.
//!
//! Invariants: what is said to be known was written by every gateway that might have seen somebody; times are the database's; a gap is never
//! closed afterwards. A gap is a time in which no gateway wrote, in which one of them did not and has not ended either, or in which one ran
//! without a census.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;

use super::{
    Result,
    row::{Columns, module},
};
use crate::domain::{Micros, ModuleName};

/// What a gateway says that has just written all that it saw.
#[derive(Debug, Clone, Copy)]
pub struct Keeping<'a> {
    /// Its name.
    pub instance: &'a str,
    /// Whose clients it would have seen.
    pub modules: &'a [ModuleName],
    /// What is no gap yet.
    pub gap: Duration,
    /// For how long clients are remembered.
    pub keep: Duration,
    /// Whether it has said so before. If nothing is left of that it was given up meanwhile: whom it has written late did poll after the time
    /// from which everything counts as known, so all begins anew.
    pub again: bool,
}

/// Since when clients of modules are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownSince {
    /// The database's time.
    pub now: Micros,
    /// Those modules that are watched now.
    pub modules: BTreeMap<ModuleName, Micros>,
}

/// The record of the census.
#[async_trait]
pub trait CensusKept {
    /// A gateway has written all that it saw, up to now.
    async fn note_kept(&self, keeping: &Keeping<'_>) -> Result<()>;

    /// A gateway ends, and has written all that it saw.
    async fn end_keeping(&self, instance: &str) -> Result<()>;

    /// A gateway without a census runs: nothing is known of these modules up to now.
    async fn note_unkept(&self, instance: &str, modules: &[ModuleName]) -> Result<()>;

    /// Since when a client that was seen would be known and not forgotten. Of no module if some gateway has not written for longer than a
    /// gap.
    async fn known_since(&self, gap: Duration) -> Result<KnownSince>;
}

/// [`KnownSince`] from rows of `module, since`.
pub(super) fn known_since<R: Columns>(now: i64, rows: &[R]) -> sqlx::Result<KnownSince> {
    let known = |row: &R| Ok((module(row.text(0)?)?, Micros::new(row.integer(1)?)));
    Ok(KnownSince {
        now: Micros::new(now),
        modules: rows.iter().map(known).collect::<sqlx::Result<_>>()?,
    })
}
