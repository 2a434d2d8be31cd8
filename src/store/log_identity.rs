//! Which database this is.

use async_trait::async_trait;

use super::Result;
use crate::domain::LogId;

/// The identity of a database.
#[async_trait]
pub trait LogIdentity {
    /// The identity of this database, which is `fresh` from now on if it has none. Of several that ask at once all get the same.
    async fn log_id(&self, fresh: LogId) -> Result<LogId>;
}
