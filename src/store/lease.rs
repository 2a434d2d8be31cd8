//! The lease that makes one process the only writer of a module.

use std::time::Duration;

use async_trait::async_trait;

use super::Result;
use crate::domain::ModuleName;

/// A held lease. The token grows with every acquisition, also by the same holder, so an older
/// one fences nothing any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The module.
    pub module: ModuleName,
    /// The fencing token.
    pub token: i64,
}

/// How many of the free leases a holder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// At most so many, the first by name.
    pub most: u32,
    /// Only those that nobody has taken for so long.
    pub overdue: Duration,
}

impl Share {
    /// Everything that is free.
    pub const ALL: Self = Self {
        most: u32::MAX,
        overdue: Duration::ZERO,
    };
}

/// Leases, on `module_head`. Expiry is judged by the database's clock. All calls use the
/// numbering connection and its time-outs.
#[async_trait]
pub trait Leases {
    /// Creates the head rows that are missing.
    async fn ensure_modules(&self, modules: &[ModuleName]) -> Result<()>;

    /// Takes those of the leases that are free or expired, and within `share`; and all that already bear the
    /// holder's name, which were handed over to it, or which it took and does not know of. Returns the ones taken.
    async fn acquire(
        &self,
        modules: &[ModuleName],
        holder: &str,
        lease: Duration,
        share: Share,
    ) -> Result<Vec<Lease>>;

    /// Prolongs leases by `lease` from now, and raises `sequenced_through` to now. Returns the ones that
    /// still held.
    async fn renew(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Lease>>;

    /// Gives leases back, so that another holder takes over at once. Lost ones are passed over.
    async fn release(&self, leases: &[Lease]) -> Result<()>;

    /// Gives leases to another holder, for whom they are kept for a while. Lost ones are passed over.
    async fn hand_over(&self, leases: &[Lease], to: &str, keep: Duration) -> Result<()>;
}

/// A lease's length as databases count.
pub(super) fn length_micros(lease: Duration) -> i64 {
    i64::try_from(lease.as_micros()).unwrap_or(i64::MAX / 2)
}
