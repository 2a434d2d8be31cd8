//! The database's identity on PostgreSQL.

use async_trait::async_trait;

use super::PostgresStore;
use crate::{
    domain::LogId,
    store::{LogIdentity, Result, row},
    telemetry::{Purpose, count_query},
};

const ID: &str = "SELECT id FROM log_identity";

/// Waits for whoever is about to make one.
const MAKE: &str = "INSERT INTO log_identity (one, id) VALUES (1, $1) ON CONFLICT (one) DO NOTHING";

#[async_trait]
impl LogIdentity for PostgresStore {
    async fn log_id(&self, fresh: LogId) -> Result<LogId> {
        let doing = "reading the database's identity";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Cursor);
        let known = sqlx::query_scalar(ID).fetch_optional(borrowed.connection());
        let known: Option<String> = self.call(doing, known).await?;
        let id = if let Some(known) = known {
            known
        } else {
            count_query(Purpose::Cursor);
            let make = sqlx::query(MAKE).bind(fresh.to_string());
            let make = make.execute(borrowed.connection());
            self.call(doing, make).await?;
            count_query(Purpose::Cursor);
            let kept = sqlx::query_scalar(ID).fetch_one(borrowed.connection());
            self.call(doing, kept).await?
        };
        borrowed.put_back();
        row::log_id(&id)
    }
}
