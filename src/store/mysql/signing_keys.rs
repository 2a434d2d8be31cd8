//! Signing keys on MariaDB and MySQL.

use async_trait::async_trait;

use super::{MySqlStore, error::is_duplicate, lease::NOW, statement::Statement, stored::Stored};
use crate::{
    domain::Micros,
    store::{
        Error, Result, SigningKey, SigningKeyAdded, SigningKeys, SigningKeysRead, row::Columns,
    },
    telemetry::{Purpose, count_query},
};

const KEYS: &str =
    "SELECT id, secret, signs_from, retires_at FROM signing_key ORDER BY signs_from, id";

const NEWER: &str = "SELECT COUNT(*) FROM signing_key WHERE signs_from > ?";

const RETIRE: &str =
    "UPDATE signing_key SET retires_at = ? WHERE retires_at IS NULL AND signs_from < ?";

#[async_trait]
impl SigningKeys for MySqlStore {
    async fn signing_keys(&self) -> Result<SigningKeysRead> {
        let doing = "reading signing keys";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Keys);
        let mut clock = Statement::new("SELECT ");
        clock.push(NOW);
        let now = clock.build_query_scalar().fetch_one(borrowed.connection());
        let now: i64 = self.call(doing, now).await?;
        count_query(Purpose::Keys);
        let select = sqlx::query(KEYS).fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        let key = |row: &Stored| -> sqlx::Result<SigningKey> {
            Ok(SigningKey {
                id: row.text(0)?.to_owned(),
                secret: row.bytes(1)?.unwrap_or_default(),
                signs_from: Micros::new(row.integer(2)?),
                retires_at: row.optional_integer(3)?.map(Micros::new),
            })
        };
        let keys: sqlx::Result<_> = Stored::all(rows).iter().map(key).collect();
        let keys = keys.map_err(Error::Unexpected)?;
        let now = Micros::new(now);
        Ok(SigningKeysRead { now, keys })
    }

    async fn add_signing_key(&self, added: &SigningKeyAdded<'_>) -> Result<bool> {
        let doing = "adding a signing key";
        let mut borrowed = self.begin(doing).await?;
        count_query(Purpose::Keys);
        // In a statement of its own: the insert would lock the gap that it looks at, and two replicas at once would wait for each other.
        let newer = sqlx::query_scalar(NEWER).bind(added.latest());
        let newer: i64 = self
            .call(doing, newer.fetch_one(borrowed.connection()))
            .await?;
        if newer > 0 {
            self.commit(doing, borrowed).await?;
            return Ok(false);
        }
        count_query(Purpose::Keys);
        let mut add = Statement::new(
            "INSERT INTO signing_key (id, secret, signs_from, follows, created_at) VALUES (",
        );
        add.push_bind(&added.key.id)
            .push(", ")
            .push_bind(&added.key.secret)
            .push(", ")
            .push_bind(added.key.signs_from.get())
            .push(", ")
            .push_bind(added.follows())
            .push(", ")
            .push(NOW)
            .push(")");
        let add = add.build().execute(borrowed.connection());
        // Waits for whoever is about to make one that follows the same key.
        let add = async {
            match add.await {
                Ok(_) => Ok(true),
                Err(error) if is_duplicate(&error) => Ok(false),
                Err(error) => Err(error),
            }
        };
        if !self.call(doing, add).await? {
            self.commit(doing, borrowed).await?;
            return Ok(false);
        }
        count_query(Purpose::Keys);
        let retire = sqlx::query(RETIRE)
            .bind(added.before_retire_at.get())
            .bind(added.key.signs_from.get())
            .execute(borrowed.connection());
        self.call(doing, retire).await?;
        self.commit(doing, borrowed).await?;
        Ok(true)
    }

    async fn forget_signing_keys(&self) -> Result<u64> {
        let doing = "forgetting signing keys";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Keys);
        let mut forget = Statement::new("DELETE FROM signing_key WHERE retires_at < ");
        forget.push(NOW);
        let forget = forget.build().execute(borrowed.connection());
        let forgotten = self.call(doing, forget).await?.rows_affected();
        borrowed.put_back();
        Ok(forgotten)
    }
}
