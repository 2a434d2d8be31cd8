//! Panics on MariaDB and MySQL.

use async_trait::async_trait;

use super::{MySqlStore, error::is_duplicate, lease::NOW, statement::Statement, stored::Stored};
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
    INSERT INTO panic (actor, reason, since, lifted_at, module, version) VALUES (?, ?, ?, ?, ?, ? + 1)";

const NEXT: &str = "\
    UPDATE panic FORCE INDEX (PRIMARY) SET version = version + 1, actor = ?, reason = ?, since = ?, lifted_at = ? \
    WHERE module = ? AND version = ?";

const VERSION: &str = "SELECT version FROM panic WHERE module = ?";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, `before`, `after`, reason, at) VALUES (?, ?, ?, ?, ?, ?, ?)";

#[async_trait]
impl Panics for MySqlStore {
    async fn panics(&self) -> Result<Vec<PanicRecord>> {
        let doing = "reading panics";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Flags);
        let select = sqlx::query(PANICS).fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        let records: sqlx::Result<_> = Stored::all(rows).iter().map(panic_record).collect();
        records.map_err(Error::Unexpected)
    }

    async fn act_on_panic(&self, act: &PanicAct) -> Result<PanicRecord> {
        let doing = "writing a panic";
        let mut borrowed = self.begin(doing).await?;
        count_query(Purpose::Flags);
        let mut clock = Statement::new("SELECT ");
        clock.push(NOW);
        let now = clock.build_query_scalar().fetch_one(borrowed.connection());
        let now: i64 = self.call(doing, now).await?;
        let after = act.after(Micros::new(now));
        count_query(Purpose::Flags);
        let expected = act.expected_version();
        let write = sqlx::query(if expected == 0 { FIRST } else { NEXT })
            .bind(&after.actor)
            .bind(&after.reason)
            .bind(after.since.get())
            .bind(after.lifted_at.map(Micros::get))
            .bind(act.stored_module())
            .bind(expected)
            .execute(borrowed.connection());
        let write = async {
            match write.await {
                Ok(done) => Ok(done.rows_affected() == 1),
                Err(error) if is_duplicate(&error) => Ok(false),
                Err(error) => Err(error),
            }
        };
        if !self.call(doing, write).await? {
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
