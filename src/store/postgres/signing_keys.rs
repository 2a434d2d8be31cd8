//! Signing keys on PostgreSQL.

use async_trait::async_trait;
use sqlx::Row;

use super::PostgresStore;
use crate::{
    domain::Micros,
    store::{Error, Result, SigningKey, SigningKeyAdded, SigningKeys, SigningKeysRead},
    telemetry::{Purpose, count_query},
};

const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

const KEYS: &str =
    "SELECT id, secret, signs_from, retires_at FROM signing_key ORDER BY signs_from, id";

const ADD: &str = "\
    INSERT INTO signing_key (id, secret, created_at, signs_from, follows) \
    SELECT $1, $2, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, $3, $5 \
    WHERE NOT EXISTS (SELECT 1 FROM signing_key WHERE signs_from > $4) \
    ON CONFLICT (follows) DO NOTHING";

const RETIRE: &str =
    "UPDATE signing_key SET retires_at = $1 WHERE retires_at IS NULL AND signs_from < $2";

const FORGET: &str = "\
    DELETE FROM signing_key WHERE retires_at < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

#[async_trait]
impl SigningKeys for PostgresStore {
    async fn signing_keys(&self) -> Result<SigningKeysRead> {
        let doing = "reading signing keys";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Keys);
        let now = sqlx::query_scalar(NOW).fetch_one(borrowed.connection());
        let now: i64 = self.call(doing, now).await?;
        count_query(Purpose::Keys);
        let select = sqlx::query(KEYS).fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        let key = |row: &sqlx::postgres::PgRow| -> sqlx::Result<SigningKey> {
            Ok(SigningKey {
                id: row.try_get(0)?,
                secret: row.try_get(1)?,
                signs_from: Micros::new(row.try_get(2)?),
                retires_at: row.try_get::<Option<i64>, _>(3)?.map(Micros::new),
            })
        };
        let keys: sqlx::Result<_> = rows.iter().map(key).collect();
        let keys = keys.map_err(Error::Unexpected)?;
        let now = Micros::new(now);
        Ok(SigningKeysRead { now, keys })
    }

    async fn add_signing_key(&self, added: &SigningKeyAdded<'_>) -> Result<bool> {
        let doing = "adding a signing key";
        let mut borrowed = self.begin(doing).await?;
        count_query(Purpose::Keys);
        let add = sqlx::query(ADD)
            .bind(&added.key.id)
            .bind(&added.key.secret)
            .bind(added.key.signs_from.get())
            .bind(added.latest())
            .bind(added.follows())
            .execute(borrowed.connection());
        let is_added = self.call(doing, add).await?.rows_affected() == 1;
        if is_added {
            count_query(Purpose::Keys);
            let retire = sqlx::query(RETIRE)
                .bind(added.before_retire_at.get())
                .bind(added.key.signs_from.get())
                .execute(borrowed.connection());
            self.call(doing, retire).await?;
        }
        self.commit(doing, borrowed).await?;
        Ok(is_added)
    }

    async fn forget_signing_keys(&self) -> Result<u64> {
        let doing = "forgetting signing keys";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Keys);
        let forget = sqlx::query(FORGET).execute(borrowed.connection());
        let forgotten = self.call(doing, forget).await?.rows_affected();
        borrowed.put_back();
        Ok(forgotten)
    }
}
