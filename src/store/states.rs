//! Whether the state per key is whole, and making it whole again.

use async_trait::async_trait;

use super::Result;
use crate::domain::ModuleName;

/// A module's state lags behind its log if changes were numbered while `modules[].state` was off.
#[async_trait]
pub trait States {
    /// Whether the state holds the newest change of the log. True for an empty log.
    async fn state_is_whole(&self, module: &ModuleName) -> Result<bool>;

    /// Brings the state up from all of the log, in one transaction; keys that are newer already stay.
    /// Whole only if nothing was pruned yet. Returns how many keys it wrote.
    async fn rebuild_state(&self, module: &ModuleName) -> Result<u64>;
}
