//! Signing keys on SQLite.

use async_trait::async_trait;
use sqlx::Row;

use super::{SqliteStore, error::failed};
use crate::{
    domain::Micros,
    store::{Result, SigningKey, SigningKeyAdded, SigningKeys, SigningKeysRead},
    telemetry::{Purpose, count_query},
};

const KEYS: &str =
    "SELECT id, secret, signs_from, retires_at FROM signing_key ORDER BY signs_from, id";

const ADD: &str = "\
    INSERT INTO signing_key (id, secret, created_at, signs_from, follows) \
    SELECT ?1, ?2, ?3, ?4, ?6 WHERE NOT EXISTS (SELECT 1 FROM signing_key WHERE signs_from > ?5) \
    ON CONFLICT (follows) DO NOTHING";

const RETIRE: &str =
    "UPDATE signing_key SET retires_at = ?1 WHERE retires_at IS NULL AND signs_from < ?2";

const FORGET: &str = "DELETE FROM signing_key WHERE retires_at < ?1";

#[async_trait]
impl SigningKeys for SqliteStore {
    async fn signing_keys(&self) -> Result<SigningKeysRead> {
        let doing = "reading signing keys";
        count_query(Purpose::Keys);
        let now = Self::now();
        let rows = sqlx::query(KEYS).fetch_all(&self.readers).await;
        let rows = rows.map_err(failed(doing))?;
        let key = |row: &sqlx::sqlite::SqliteRow| -> sqlx::Result<SigningKey> {
            Ok(SigningKey {
                id: row.try_get(0)?,
                secret: row.try_get(1)?,
                signs_from: Micros::new(row.try_get(2)?),
                retires_at: row.try_get::<Option<i64>, _>(3)?.map(Micros::new),
            })
        };
        let keys: sqlx::Result<_> = rows.iter().map(key).collect();
        let keys = keys.map_err(failed(doing))?;
        Ok(SigningKeysRead { now, keys })
    }

    async fn add_signing_key(&self, added: &SigningKeyAdded<'_>) -> Result<bool> {
        let doing = "adding a signing key";
        let mut writing = self.begin_ordinary(doing).await?;
        count_query(Purpose::Keys);
        let add = sqlx::query(ADD)
            .bind(&added.key.id)
            .bind(&added.key.secret)
            .bind(Self::now().get())
            .bind(added.key.signs_from.get())
            .bind(added.latest())
            .bind(added.follows())
            .execute(writing.connection());
        if add.await.map_err(failed(doing))?.rows_affected() != 1 {
            return Ok(false);
        }
        count_query(Purpose::Keys);
        let retire = sqlx::query(RETIRE)
            .bind(added.before_retire_at.get())
            .bind(added.key.signs_from.get())
            .execute(writing.connection());
        retire.await.map_err(failed(doing))?;
        writing.commit(doing).await?;
        Ok(true)
    }

    async fn forget_signing_keys(&self) -> Result<u64> {
        let doing = "forgetting signing keys";
        let mut writing = self.begin_ordinary(doing).await?;
        count_query(Purpose::Keys);
        let forget = sqlx::query(FORGET)
            .bind(Self::now().get())
            .execute(writing.connection());
        let forgotten = forget.await.map_err(failed(doing))?.rows_affected();
        writing.commit(doing).await?;
        Ok(forgotten)
    }
}
