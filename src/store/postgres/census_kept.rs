//! Since when the census is kept, on PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgConnection;

use super::PostgresStore;
use crate::{
    domain::ModuleName,
    store::{
        CensusKept, Error, Keeping, KnownSince, Result, census_kept::known_since,
        lease::length_micros,
    },
    telemetry::{Purpose, count_query},
};

const CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// All rows in one order, so that two gateways never wait for each other crosswise.
const LOCK: &str = "SELECT 1 FROM census_kept ORDER BY module FOR UPDATE";

const LOST: &str = "DELETE FROM census_keeper WHERE through < $1";

const IS_THERE: &str = "SELECT EXISTS (SELECT 1 FROM census_keeper WHERE instance = $1)";

const BEGIN_ANEW: &str = "UPDATE census_kept SET since = $1";

const KEEPER: &str = "\
    INSERT INTO census_keeper (instance, through) VALUES ($1, $2) \
    ON CONFLICT (instance) DO UPDATE SET through = excluded.through";

const KEPT: &str = "\
    INSERT INTO census_kept AS k (module, since, through, remembered) \
    SELECT m, $2, $2, $3 FROM unnest($1::text[]) AS m ORDER BY m COLLATE \"C\" \
    ON CONFLICT (module) DO UPDATE \
    SET since = CASE WHEN k.through < excluded.through - $4 THEN excluded.since ELSE k.since END, through = excluded.through";

const REMEMBERED: &str = "UPDATE census_kept SET remembered = $1 WHERE remembered < $1";

const END: &str = "DELETE FROM census_keeper WHERE instance = $1";

const UNKEPT: &str = "DELETE FROM census_kept WHERE module = ANY($1)";

const KNOWN: &str = "\
    SELECT module, greatest(since, remembered) FROM census_kept \
    WHERE through >= $1 AND NOT EXISTS (SELECT 1 FROM census_keeper WHERE through < $1) ORDER BY module";

#[async_trait]
impl CensusKept for PostgresStore {
    async fn note_kept(&self, keeping: &Keeping<'_>) -> Result<()> {
        let doing = "noting that the census is kept";
        let mut borrowed = self.begin(doing).await?;
        self.call(doing, note(borrowed.connection(), keeping))
            .await?;
        self.commit(doing, borrowed).await
    }

    async fn end_keeping(&self, instance: &str) -> Result<()> {
        let doing = "ending to keep the census";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Census);
        let end = sqlx::query(END).bind(instance);
        self.call(doing, end.execute(borrowed.connection())).await?;
        borrowed.put_back();
        Ok(())
    }

    async fn note_unkept(&self, instance: &str, modules: &[ModuleName]) -> Result<()> {
        let doing = "noting that no census is kept";
        let mut borrowed = self.begin(doing).await?;
        let forget = async {
            let connection = borrowed.connection();
            count_query(Purpose::Census);
            sqlx::query(LOCK).execute(&mut *connection).await?;
            count_query(Purpose::Census);
            let unkept = sqlx::query(UNKEPT).bind(names(modules));
            unkept.execute(&mut *connection).await?;
            count_query(Purpose::Census);
            let end = sqlx::query(END).bind(instance);
            end.execute(connection).await
        };
        self.call(doing, forget).await?;
        self.commit(doing, borrowed).await
    }

    async fn known_since(&self, gap: Duration) -> Result<KnownSince> {
        let doing = "reading since when the census is kept";
        let mut borrowed = self.borrow(doing).await?;
        let read = async {
            let now = clock(borrowed.connection()).await?;
            count_query(Purpose::Census);
            let known = sqlx::query(KNOWN).bind(now - length_micros(gap));
            Ok((now, known.fetch_all(borrowed.connection()).await?))
        };
        let (now, rows) = self.call(doing, read).await?;
        borrowed.put_back();
        known_since(now, &rows).map_err(Error::Unexpected)
    }
}

async fn note(connection: &mut PgConnection, keeping: &Keeping<'_>) -> sqlx::Result<()> {
    count_query(Purpose::Census);
    sqlx::query(LOCK).execute(&mut *connection).await?;
    // Not before the lock: who had it has written a time that is not to be gone back behind.
    let (now, gap) = (clock(connection).await?, length_micros(keeping.gap));
    let remembered = now - length_micros(keeping.keep);
    count_query(Purpose::Census);
    let lost = sqlx::query(LOST).bind(now - gap);
    let is_lost = lost.execute(&mut *connection).await?.rows_affected() > 0;
    if is_lost || was_given_up(connection, keeping).await? {
        count_query(Purpose::Census);
        let anew = sqlx::query(BEGIN_ANEW).bind(now);
        anew.execute(&mut *connection).await?;
    }
    count_query(Purpose::Census);
    let keeper = sqlx::query(KEEPER).bind(keeping.instance).bind(now);
    keeper.execute(&mut *connection).await?;
    count_query(Purpose::Census);
    let kept = sqlx::query(KEPT)
        .bind(names(keeping.modules))
        .bind(now)
        .bind(remembered)
        .bind(gap);
    kept.execute(&mut *connection).await?;
    count_query(Purpose::Census);
    let forgotten = sqlx::query(REMEMBERED).bind(remembered);
    forgotten.execute(connection).await?;
    Ok(())
}

/// Whether it has said so before, and nothing is left of that.
async fn was_given_up(connection: &mut PgConnection, keeping: &Keeping<'_>) -> sqlx::Result<bool> {
    if !keeping.again {
        return Ok(false);
    }
    count_query(Purpose::Census);
    let is_there = sqlx::query_scalar(IS_THERE).bind(keeping.instance);
    let is_there: bool = is_there.fetch_one(connection).await?;
    Ok(!is_there)
}

async fn clock(connection: &mut PgConnection) -> sqlx::Result<i64> {
    count_query(Purpose::Census);
    sqlx::query_scalar(CLOCK).fetch_one(connection).await
}

fn names(modules: &[ModuleName]) -> Vec<&str> {
    modules.iter().map(ModuleName::as_str).collect()
}
