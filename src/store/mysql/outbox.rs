//! The outbox on MariaDB and MySQL, as producers and operators use it.

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{
    MySqlStore,
    lease::NOW,
    statement::{Statement, chunks, list, ready},
    stored::Stored,
};
use crate::{
    domain::{Micros, NewChange},
    store::{Error, Outbox, RejectedRow, Result, row::Columns},
    telemetry::{Purpose, count_query},
};

const DEPTH: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM outbox LIMIT ?) AS waiting";

const REJECTED: &str = "\
    SELECT id, module, audience, entity_key, op, value, change_id, occurred_at, reason, rejected_at \
    FROM outbox_rejected WHERE id > ? ORDER BY id LIMIT ?";

const ALL_REJECTED: &str = "SELECT id FROM outbox_rejected ORDER BY id FOR UPDATE";

#[async_trait]
impl Outbox for MySqlStore {
    async fn append(&self, changes: &[NewChange]) -> Result<()> {
        refuse_nul(changes)?;
        let doing = "appending to the outbox";
        match chunks(changes, size)[..] {
            [] => Ok(()),
            [all] => {
                let mut borrowed = self.borrow(doing).await?;
                self.call(doing, append(borrowed.connection(), all)).await?;
                borrowed.put_back();
                Ok(())
            }
            ref several => {
                let mut borrowed = self.begin(doing).await?;
                for part in several {
                    self.call(doing, append(borrowed.connection(), part))
                        .await?;
                }
                self.commit(doing, borrowed).await
            }
        }
    }

    async fn outbox_depth(&self, most: u32) -> Result<u64> {
        let doing = "counting the outbox";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Sequence);
        let count = sqlx::query_scalar(DEPTH).bind(i64::from(most));
        let depth: i64 = self
            .call(doing, count.fetch_one(borrowed.connection()))
            .await?;
        borrowed.put_back();
        Ok(depth.unsigned_abs())
    }

    async fn rejected(&self, after: i64, limit: u32) -> Result<Vec<RejectedRow>> {
        let doing = "listing rejected rows";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Sequence);
        let select = sqlx::query(REJECTED).bind(after).bind(i64::from(limit));
        let rows = self
            .call(doing, select.fetch_all(borrowed.connection()))
            .await?;
        borrowed.put_back();
        let rows = Stored::all(rows)
            .iter()
            .map(rejected)
            .collect::<sqlx::Result<_>>();
        rows.map_err(Error::Unexpected)
    }

    async fn retry_rejected(&self, ids: &[i64]) -> Result<u64> {
        self.on_rejected("retrying rejected rows", ids, true).await
    }

    async fn drop_rejected(&self, ids: &[i64]) -> Result<u64> {
        self.on_rejected("dropping rejected rows", ids, false).await
    }
}

impl MySqlStore {
    /// Takes rows out of `outbox_rejected`, after copying them to the end of the outbox if told to.
    async fn on_rejected(&self, doing: &'static str, ids: &[i64], retry: bool) -> Result<u64> {
        let mut borrowed = self.begin(doing).await?;
        let mut taken = ids.to_vec();
        if taken.is_empty() {
            count_query(Purpose::Sequence);
            let all = sqlx::query_scalar(ALL_REJECTED).fetch_all(borrowed.connection());
            taken = self.call(doing, all).await?;
        }
        taken.sort_unstable();
        taken.dedup();
        let mut affected = 0;
        for ids in chunks(&taken, |_| size_of::<i64>()) {
            let connection = borrowed.connection();
            affected += self.call(doing, take(connection, ids, retry)).await?;
        }
        self.commit(doing, borrowed).await?;
        Ok(affected)
    }
}

async fn append(connection: &mut MySqlConnection, changes: &[NewChange]) -> sqlx::Result<()> {
    count_query(Purpose::Ingest);
    let mut insert = Statement::new(
        "INSERT INTO outbox (module, audience, entity_key, op, value, change_id, occurred_at) ",
    );
    insert.push_values(changes, |mut columns, change| {
        columns
            .push_bind(change.module.as_str())
            .push_bind(change.audience.as_str())
            .push_bind(&*change.key)
            .push_bind(change.op.as_str())
            .push_bind(change.value.as_str())
            .push_bind(change.change_id.as_deref());
        match change.occurred_at {
            Some(time) => columns.push_bind(time.get()),
            None => columns.push(NOW),
        };
    });
    ready(&mut insert, changes.len())
        .execute(connection)
        .await?;
    Ok(())
}

/// Locks the rows first, so that what is copied is what is deleted.
async fn take(connection: &mut MySqlConnection, ids: &[i64], retry: bool) -> sqlx::Result<u64> {
    if retry {
        count_query(Purpose::Sequence);
        let mut lock = Statement::new("SELECT id FROM outbox_rejected WHERE id IN (");
        list(&mut lock, ids.iter().copied());
        lock.push(") ORDER BY id FOR UPDATE");
        ready(&mut lock, ids.len())
            .fetch_all(&mut *connection)
            .await?;
        count_query(Purpose::Sequence);
        let mut copy = Statement::new(
            "INSERT INTO outbox (module, audience, entity_key, op, value, change_id, occurred_at) \
             SELECT module, audience, entity_key, op, value, change_id, occurred_at \
             FROM outbox_rejected WHERE id IN (",
        );
        list(&mut copy, ids.iter().copied());
        copy.push(") ORDER BY id");
        ready(&mut copy, ids.len())
            .execute(&mut *connection)
            .await?;
    }
    count_query(Purpose::Sequence);
    let mut delete = Statement::new("DELETE FROM outbox_rejected WHERE id IN (");
    list(&mut delete, ids.iter().copied());
    delete.push(")");
    let done = ready(&mut delete, ids.len()).execute(connection).await?;
    Ok(done.rows_affected())
}

fn rejected(row: &Stored) -> sqlx::Result<RejectedRow> {
    let text = |column| -> sqlx::Result<Option<String>> {
        let bytes = row.bytes(column)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    Ok(RejectedRow {
        id: row.integer(0)?,
        module: text(1)?.unwrap_or_default(),
        audience: text(2)?,
        key: text(3)?,
        op: text(4)?,
        value: text(5)?,
        change_id: text(6)?,
        occurred_at: row.optional_integer(7)?,
        reason: row.text(8)?.to_owned(),
        rejected_at: Micros::new(row.integer(9)?),
    })
}

fn size(change: &NewChange) -> usize {
    let id = change.change_id.as_deref().unwrap_or_default();
    change.audience.as_str().len() + change.key.len() + change.value.as_str().len() + id.len()
}

/// The columns hold bytes and would take U+0000; PostgreSQL refuses it.
fn refuse_nul(changes: &[NewChange]) -> Result<()> {
    let holds = |change: &NewChange| {
        let id = change.change_id.as_deref().unwrap_or_default();
        let texts = [
            change.audience.as_str(),
            &change.key,
            change.value.as_str(),
            id,
        ];
        texts.iter().any(|text| text.contains('\0'))
    };
    if changes.iter().any(holds) {
        return Err(Error::Refused {
            why: "a text holds U+0000".to_owned(),
        });
    }
    Ok(())
}
