//! Panics on SQLite.

use async_trait::async_trait;

use super::{SqliteStore, error::failed};
use crate::{
    domain::{Micros, ModuleName},
    store::{
        Error, PanicAct, PanicRecord, Panics, Result,
        row::{json_text, panic_record},
    },
    telemetry::{Purpose, count_query},
};

const PANICS: &str = "SELECT module, version, actor, reason, since, lifted_at FROM panic";

const FIRST: &str = "\
    INSERT INTO panic (module, version, actor, reason, since, lifted_at) VALUES (?1, ?2 + 1, ?3, ?4, ?5, ?6) \
    ON CONFLICT (module) DO NOTHING";

const NEXT: &str = "\
    UPDATE panic SET version = version + 1, actor = ?3, reason = ?4, since = ?5, lifted_at = ?6 \
    WHERE module = ?1 AND version = ?2";

const VERSION: &str = "SELECT version FROM panic WHERE module = ?1";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, before, after, reason, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

#[async_trait]
impl Panics for SqliteStore {
    async fn panics(&self) -> Result<Vec<PanicRecord>> {
        let doing = "reading panics";
        count_query(Purpose::Flags);
        let rows = sqlx::query(PANICS).fetch_all(&self.readers).await;
        let rows = rows.map_err(failed(doing))?;
        let records: sqlx::Result<_> = rows.iter().map(panic_record).collect();
        records.map_err(failed(doing))
    }

    async fn act_on_panic(&self, act: &PanicAct) -> Result<PanicRecord> {
        let doing = "writing a panic";
        let mut writing = self.begin_ordinary(doing).await?;
        let now: Micros = Self::now();
        let after = act.after(now);
        count_query(Purpose::Flags);
        let expected = act.expected_version();
        let write = sqlx::query(if expected == 0 { FIRST } else { NEXT })
            .bind(act.stored_module())
            .bind(expected)
            .bind(&after.actor)
            .bind(&after.reason)
            .bind(after.since.get())
            .bind(after.lifted_at.map(Micros::get))
            .execute(writing.connection());
        if write.await.map_err(failed(doing))?.rows_affected() != 1 {
            count_query(Purpose::Flags);
            let version = sqlx::query_scalar(VERSION).bind(act.stored_module());
            let version: Option<i64> = version
                .fetch_optional(writing.connection())
                .await
                .map_err(failed(doing))?;
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
            .bind(now.get())
            .execute(writing.connection());
        note.await.map_err(failed(doing))?;
        writing.commit(doing).await?;
        Ok(after)
    }
}
