//! The outbox as producers and operators use it. Reading it for numbering is
//! [`super::Numbering`]'s.

use async_trait::async_trait;

use super::Result;
use crate::domain::{Micros, NewChange};

/// A row that could not be numbered, with the reason. Texts are decoded lossily, for showing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RejectedRow {
    /// Its own id, not the outbox row's.
    pub id: i64,
    /// As in the outbox.
    pub module: String,
    /// As in the outbox.
    pub audience: Option<String>,
    /// As in the outbox.
    pub key: Option<String>,
    /// As in the outbox.
    pub op: Option<String>,
    /// As in the outbox.
    pub value: Option<String>,
    /// As in the outbox.
    pub change_id: Option<String>,
    /// As in the outbox.
    pub occurred_at: Option<i64>,
    /// Why it was parked: a stable word, then a colon, then an explanation.
    pub reason: String,
    /// When it was parked.
    pub rejected_at: Micros,
}

/// Inserting changes, and what was parked.
#[async_trait]
pub trait Outbox {
    /// Inserts all in one transaction, in this order. Returns after the durable commit; on an
    /// error none is there, except that after [`super::Error::Unavailable`] the outcome is unknown.
    async fn append(&self, changes: &[NewChange]) -> Result<()>;

    /// Rows that wait to be numbered, counted up to `most`.
    async fn outbox_depth(&self, most: u32) -> Result<u64>;

    /// Parked rows with an id above `after`, by id.
    async fn rejected(&self, after: i64, limit: u32) -> Result<Vec<RejectedRow>>;

    /// Moves parked rows back to the end of the outbox; with an empty list, all of them. Returns how many.
    async fn retry_rejected(&self, ids: &[i64]) -> Result<u64>;

    /// Deletes parked rows; with an empty list, all of them. Returns how many.
    async fn drop_rejected(&self, ids: &[i64]) -> Result<u64>;
}
