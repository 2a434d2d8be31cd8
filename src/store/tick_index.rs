//! The index by which the state is read by time. It costs each numbered change a page, so it is made when the first
//! module is configured that needs it.
//!
//! Invariant: it decides how quick a read is, never what is read. So it may be missing at any time, and no statement names
//! it where it may be.

use async_trait::async_trait;

use super::Result;

/// The index of the state by time.
#[async_trait]
pub trait TickIndex {
    /// Whether it is there and whole.
    async fn has_tick_index(&self) -> Result<bool>;

    /// Makes it unless it is there, anew if an attempt was interrupted, one process at a time. Takes as long as
    /// the database needs for it; another process that makes it is waited for as long as for its migrations.
    async fn make_tick_index(&self) -> Result<()>;
}
