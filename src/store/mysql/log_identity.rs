//! The database's identity on MariaDB and MySQL.

use async_trait::async_trait;

use super::{MySqlStore, connection::Borrowed, error::is_duplicate, stored::Stored};
use crate::{
    domain::LogId,
    store::{Error, LogIdentity, Result, row, row::Columns},
    telemetry::{Purpose, count_query},
};

const DOING: &str = "reading the database's identity";

const ID: &str = "SELECT id FROM log_identity";

const MAKE: &str = "INSERT INTO log_identity (one, id) VALUES (1, ?)";

#[async_trait]
impl LogIdentity for MySqlStore {
    async fn log_id(&self, fresh: LogId) -> Result<LogId> {
        let mut borrowed = self.borrow(DOING).await?;
        let mut known = self.known_log_id(&mut borrowed).await?;
        if known.is_none() {
            count_query(Purpose::Cursor);
            let make = sqlx::query(MAKE).bind(fresh.to_string());
            let make = make.execute(borrowed.connection());
            // Waits for whoever is about to make one.
            let make = async {
                match make.await {
                    Ok(_) => Ok(()),
                    Err(error) if is_duplicate(&error) => Ok(()),
                    Err(error) => Err(error),
                }
            };
            self.call(DOING, make).await?;
            known = self.known_log_id(&mut borrowed).await?;
        }
        borrowed.put_back();
        known.ok_or_else(|| Error::Unavailable {
            why: format!("{DOING}: one was made, and is gone"),
            source: None,
        })
    }
}

impl MySqlStore {
    async fn known_log_id(&self, borrowed: &mut Borrowed) -> Result<Option<LogId>> {
        count_query(Purpose::Cursor);
        let rows = sqlx::query(ID).fetch_all(borrowed.connection());
        let rows = Stored::all(self.call(DOING, rows).await?);
        let text = rows.first().map(|row| row.text(0));
        let text = text.transpose().map_err(Error::Unexpected)?;
        text.map(row::log_id).transpose()
    }
}
