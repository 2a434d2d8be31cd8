//! Since when the census is kept, on MariaDB and MySQL.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{
    MySqlStore,
    lease::NOW,
    statement::{Statement, chunks, list, ready},
    stored::Stored,
};
use crate::{
    domain::ModuleName,
    store::{
        CensusKept, Error, Keeping, KnownSince, Result, census_kept::known_since,
        lease::length_micros,
    },
    telemetry::{Purpose, count_query},
};

/// All rows in one order, so that two gateways never wait for each other crosswise.
const LOCK: &str = "SELECT 1 FROM census_kept FORCE INDEX (PRIMARY) ORDER BY module FOR UPDATE";

/// Without a lock: mostly there are none.
const LOST: &str = "SELECT instance FROM census_keeper WHERE through < ?";

const KEEPER: &str = "\
    INSERT INTO census_keeper (instance, through) VALUES (?, ?) ON DUPLICATE KEY UPDATE through = VALUES(through)";

const IS_THERE: &str = "SELECT EXISTS (SELECT 1 FROM census_keeper WHERE instance = ?)";

const REMEMBERED: &str = "UPDATE census_kept SET remembered = ? WHERE remembered < ?";

const END: &str = "DELETE FROM census_keeper WHERE instance = ?";

const KNOWN: &str = "\
    SELECT module, GREATEST(since, remembered) FROM census_kept \
    WHERE through >= ? AND NOT EXISTS (SELECT 1 FROM census_keeper WHERE through < ?) ORDER BY module";

#[async_trait]
impl CensusKept for MySqlStore {
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
            sqlx::query(LOCK).fetch_all(&mut *connection).await?;
            for chunk in chunks(modules, |_module| 0) {
                let mut unkept = Statement::new("DELETE FROM census_kept WHERE module IN (");
                list(&mut unkept, chunk.iter().map(ModuleName::as_str));
                unkept.push(")");
                count_query(Purpose::Census);
                let unkept = ready(&mut unkept, chunk.len());
                unkept.execute(&mut *connection).await?;
            }
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
            let written = now - length_micros(gap);
            count_query(Purpose::Census);
            let known = sqlx::query(KNOWN).bind(written).bind(written);
            Ok((now, known.fetch_all(borrowed.connection()).await?))
        };
        let (now, rows) = self.call(doing, read).await?;
        borrowed.put_back();
        known_since(now, &Stored::all(rows)).map_err(Error::Unexpected)
    }
}

async fn note(connection: &mut MySqlConnection, keeping: &Keeping<'_>) -> sqlx::Result<()> {
    count_query(Purpose::Census);
    sqlx::query(LOCK).fetch_all(&mut *connection).await?;
    // Not before the lock: who had it has written a time that is not to be gone back behind.
    let (now, gap) = (clock(connection).await?, length_micros(keeping.gap));
    let is_lost = end_lost(connection, now - gap).await?;
    if is_lost || was_given_up(connection, keeping).await? {
        count_query(Purpose::Census);
        let anew = sqlx::query("UPDATE census_kept SET since = ?").bind(now);
        anew.execute(&mut *connection).await?;
    }
    count_query(Purpose::Census);
    let keeper = sqlx::query(KEEPER).bind(keeping.instance).bind(now);
    keeper.execute(&mut *connection).await?;
    let remembered = now - length_micros(keeping.keep);
    for chunk in chunks(keeping.modules, |_module| 0) {
        let mut kept = kept(chunk, [now, gap, remembered]);
        count_query(Purpose::Census);
        let kept = ready(&mut kept, chunk.len());
        kept.execute(&mut *connection).await?;
    }
    count_query(Purpose::Census);
    let forgotten = sqlx::query(REMEMBERED).bind(remembered).bind(remembered);
    forgotten.execute(connection).await?;
    Ok(())
}

/// Takes out those that have written nothing since then. Whether there were any.
async fn end_lost(connection: &mut MySqlConnection, since: i64) -> sqlx::Result<bool> {
    count_query(Purpose::Census);
    let lost = sqlx::query_scalar(LOST).bind(since);
    let lost: Vec<Vec<u8>> = lost.fetch_all(&mut *connection).await?;
    for instance in &lost {
        count_query(Purpose::Census);
        let end = sqlx::query(END).bind(instance);
        end.execute(&mut *connection).await?;
    }
    Ok(!lost.is_empty())
}

/// Whether it has said so before, and nothing is left of that.
async fn was_given_up(
    connection: &mut MySqlConnection,
    keeping: &Keeping<'_>,
) -> sqlx::Result<bool> {
    if !keeping.again {
        return Ok(false);
    }
    count_query(Purpose::Census);
    let is_there = sqlx::query_scalar(IS_THERE).bind(keeping.instance.as_bytes());
    let is_there: i64 = is_there.fetch_one(connection).await?;
    Ok(is_there == 0)
}

/// The assignments take effect from left to right.
fn kept(modules: &[ModuleName], [now, gap, remembered]: [i64; 3]) -> Statement {
    let mut kept = Statement::new("INSERT INTO census_kept (module, since, through, remembered) ");
    kept.push_values(modules, |mut values, module| {
        values
            .push_bind(module.as_str().to_owned())
            .push_bind(now)
            .push_bind(now)
            .push_bind(remembered);
    });
    kept.push(" ON DUPLICATE KEY UPDATE since = IF(through < VALUES(through) - ")
        .push_bind(gap)
        .push(", VALUES(since), since), through = VALUES(through)");
    kept
}

async fn clock(connection: &mut MySqlConnection) -> sqlx::Result<i64> {
    count_query(Purpose::Census);
    let mut clock = Statement::new("SELECT ");
    clock.push(NOW);
    clock.build_query_scalar().fetch_one(connection).await
}
