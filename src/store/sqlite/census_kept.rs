//! Since when the census is kept, on SQLite.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{SqliteStore, error::failed, json};
use crate::{
    domain::ModuleName,
    store::{
        CensusKept, Keeping, KnownSince, Result, census_kept::known_since, lease::length_micros,
    },
    telemetry::{Purpose, count_query},
};

const LOST: &str = "DELETE FROM census_keeper WHERE through < ?1";

const IS_THERE: &str = "SELECT EXISTS (SELECT 1 FROM census_keeper WHERE instance = ?1)";

const BEGIN_ANEW: &str = "UPDATE census_kept SET since = ?1";

const KEEPER: &str = "\
    INSERT INTO census_keeper (instance, through) VALUES (?1, ?2) \
    ON CONFLICT (instance) DO UPDATE SET through = excluded.through";

const KEPT: &str = "\
    INSERT INTO census_kept (module, since, through, remembered) \
    SELECT value, ?2, ?2, ?3 FROM json_each(?1) WHERE true \
    ON CONFLICT (module) DO UPDATE \
    SET since = iif(through < excluded.through - ?4, excluded.since, since), through = excluded.through";

const REMEMBERED: &str = "UPDATE census_kept SET remembered = ?1 WHERE remembered < ?1";

const END: &str = "DELETE FROM census_keeper WHERE instance = ?1";

const UNKEPT: &str = "DELETE FROM census_kept WHERE module IN (SELECT value FROM json_each(?1))";

const KNOWN: &str = "\
    SELECT module, max(since, remembered) FROM census_kept \
    WHERE through >= ?1 AND NOT EXISTS (SELECT 1 FROM census_keeper WHERE through < ?1) ORDER BY module";

#[async_trait]
impl CensusKept for SqliteStore {
    async fn note_kept(&self, keeping: &Keeping<'_>) -> Result<()> {
        let doing = "noting that the census is kept";
        let mut writing = self.begin_ordinary(doing).await?;
        note(writing.connection(), keeping)
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await
    }

    async fn end_keeping(&self, instance: &str) -> Result<()> {
        let doing = "ending to keep the census";
        let mut writing = self.begin_ordinary(doing).await?;
        count_query(Purpose::Census);
        let end = sqlx::query(END).bind(instance);
        end.execute(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await
    }

    async fn note_unkept(&self, instance: &str, modules: &[ModuleName]) -> Result<()> {
        let doing = "noting that no census is kept";
        let mut writing = self.begin_ordinary(doing).await?;
        for (statement, of) in [(END, instance.to_owned()), (UNKEPT, names(modules))] {
            count_query(Purpose::Census);
            let forget = sqlx::query(statement).bind(of);
            forget
                .execute(writing.connection())
                .await
                .map_err(failed(doing))?;
        }
        writing.commit(doing).await
    }

    async fn known_since(&self, gap: Duration) -> Result<KnownSince> {
        let doing = "reading since when the census is kept";
        let now = Self::now();
        count_query(Purpose::Census);
        let known = sqlx::query(KNOWN).bind(now.minus(gap).get());
        let rows = known.fetch_all(&self.readers).await;
        let rows = rows.map_err(failed(doing))?;
        known_since(now.get(), &rows).map_err(failed(doing))
    }
}

async fn note(connection: &mut SqliteConnection, keeping: &Keeping<'_>) -> sqlx::Result<()> {
    let (now, gap) = (SqliteStore::now().get(), length_micros(keeping.gap));
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
async fn was_given_up(
    connection: &mut SqliteConnection,
    keeping: &Keeping<'_>,
) -> sqlx::Result<bool> {
    if !keeping.again {
        return Ok(false);
    }
    count_query(Purpose::Census);
    let is_there = sqlx::query_scalar(IS_THERE).bind(keeping.instance);
    let is_there: bool = is_there.fetch_one(connection).await?;
    Ok(!is_there)
}

fn names(modules: &[ModuleName]) -> String {
    let names: Vec<_> = modules.iter().map(ModuleName::as_str).collect();
    json::text(&names)
}
