//! The database's identity on SQLite.

use async_trait::async_trait;

use super::{SqliteStore, error::failed};
use crate::{
    domain::LogId,
    store::{LogIdentity, Result, row},
    telemetry::{Purpose, count_query},
};

const ID: &str = "SELECT id FROM log_identity";

const MAKE: &str = "INSERT INTO log_identity (one, id) VALUES (1, ?1) ON CONFLICT (one) DO NOTHING";

#[async_trait]
impl LogIdentity for SqliteStore {
    async fn log_id(&self, fresh: LogId) -> Result<LogId> {
        let doing = "reading the database's identity";
        count_query(Purpose::Cursor);
        let known = sqlx::query_scalar(ID).fetch_optional(&self.readers);
        let known: Option<String> = known.await.map_err(failed(doing))?;
        if let Some(known) = known {
            return row::log_id(&known);
        }
        let mut writing = self.begin_ordinary(doing).await?;
        count_query(Purpose::Cursor);
        let make = sqlx::query(MAKE).bind(fresh.to_string());
        let make = make.execute(writing.connection());
        make.await.map_err(failed(doing))?;
        count_query(Purpose::Cursor);
        let kept = sqlx::query_scalar(ID).fetch_one(writing.connection());
        let kept: String = kept.await.map_err(failed(doing))?;
        writing.commit(doing).await?;
        row::log_id(&kept)
    }
}
