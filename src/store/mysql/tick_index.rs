//! The index of the state by time on MariaDB and MySQL. It is always there: statements name it, or the optimizer would
//! look through the table, and one that names what is not there fails.

use async_trait::async_trait;

use super::MySqlStore;
use crate::store::{Result, TickIndex};

#[async_trait]
impl TickIndex for MySqlStore {
    async fn has_tick_index(&self) -> Result<bool> {
        Ok(true)
    }

    async fn make_tick_index(&self) -> Result<()> {
        Ok(())
    }
}
