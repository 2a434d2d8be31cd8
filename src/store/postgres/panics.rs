//! Panics on PostgreSQL.

use async_trait::async_trait;

use super::PostgresStore;
use crate::{
    domain::{Micros, ModuleName},
    store::{
        Error, PanicAct, PanicRecord, Panics, Result,
        row::{json_text, panic_record},
    },
    telemetry::{Purpose, count_query},
};

const PANICS: &str = "SELECT module, version, actor, reason, since, lifted_at FROM panic";

const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

const FIRST: &str = "\
    INSERT INTO panic (module, version, actor, reason, since, lifted_at) VALUES ($1, $2 + 1, $3, $4, $5, $6) \
    ON CONFLICT (module) DO NOTHING";

const NEXT: &str = "\
    UPDATE panic SET version = version + 1, actor = $3, reason = $4, since = $5, lifted_at = $6 \
    WHERE module = $1 AND version = $2";

const VERSION: &str = "SELECT version FROM panic WHERE module = $1";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, before, after, reason, at) VALUES ($1, $2, $3, $4, $5, $6, $7)";

#[async_trait]
impl Panics for PostgresStore {
    async fn panics(&self) -> Result<Vec<PanicRecord>> {
        let doing = "reading panics";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Flags);
        let select = sqlx::query(PANICS).fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        let records: sqlx::Result<_> = rows.iter().map(panic_record).collect();
        records.map_err(Error::Unexpected)
    }

    async fn act_on_panic(&self, act: &PanicAct) -> Result<PanicRecord> {
        let doing = "writing a panic";
        let mut borrowed = self.begin(doing).await?;
        count_query(Purpose::Flags);
        let now = sqlx::query_scalar(NOW).fetch_one(borrowed.connection());
        let now: i64 = self.call(doing, now).await?;
        let after = act.after(Micros::new(now));
        count_query(Purpose::Flags);
        let expected = act.expected_version();
        let write = sqlx::query(if expected == 0 { FIRST } else { NEXT })
            .bind(act.stored_module())
            .bind(expected)
            .bind(&after.actor)
            .bind(&after.reason)
            .bind(after.since.get())
            .bind(after.lifted_at.map(Micros::get))
            .execute(borrowed.connection());
        if self.call(doing, write).await?.rows_affected() != 1 {
            count_query(Purpose::Flags);
            let version = sqlx::query_scalar(VERSION)
                .bind(act.stored_module())
                .fetch_optional(borrowed.connection());
            let version: Option<i64> = self.call(doing, version).await?;
            let current = version.unwrap_or(0);
            return Err(Error::VersionConflict { expected, current });
        }
        count_query(Purpose::Flags);
        let note = sqlx::query(NOTE)
            .bind(act.module.as_ref().map(ModuleName::as_str))
            .bind(&act.actor)
            .bind(act.step.action())
            .bind(json_text("audit", &act.before)?)
            .bind(json_text("audit", &after)?)
            .bind(&act.reason)
            .bind(now)
            .execute(borrowed.connection());
        self.call(doing, note).await?;
        self.commit(doing, borrowed).await?;
        Ok(after)
    }
}
