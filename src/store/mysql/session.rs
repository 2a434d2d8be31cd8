//! What a session sets before its first statement.
//!
//! Nothing is left to the server's defaults that could change what our statements mean: isolation,
//! autocommit, strictness. Time-outs make the server give up what a stopped client holds.

use std::{sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, Executor, MySqlConnection};

use crate::store::migration::LOCK_WAIT;

/// READ COMMITTED by name, and a mode in which nothing is cut off or replaced with a warning. MariaDB would make a
/// join of a long `IN (…)` and then look through all of the table, which for a DELETE means to wait
/// for every row that somebody has not committed yet.
const MEANING: &str = "\
    SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
    SET SESSION autocommit = 1, sql_safe_updates = 0, \
        sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION' \
        /*M!100300 , in_predicate_conversion_threshold = 0 */";

/// The statements that begin a session.
#[derive(Debug, Clone)]
pub(super) struct Session(Arc<str>);

impl Session {
    /// One that holds no lock for longer than `idle` without working, and works on nothing for longer than
    /// `statement`.
    ///
    /// Except for MariaDB's `max_statement_time` the servers count whole seconds, so these bounds are rounded up.
    /// Each server reads the comment that is meant for it: MySQL has no bound for a transaction that idles, there
    /// the whole connection ends; and it bounds the time of reads only, so writes are left to the bounds for locks.
    pub(super) fn bounded(statement: Duration, idle: Duration) -> Self {
        let (locks, idles) = (seconds(statement), seconds(idle));
        Self::with(&format!(
            "innodb_lock_wait_timeout = {locks}, lock_wait_timeout = {locks}, \
             net_read_timeout = {locks}, net_write_timeout = {locks} \
             /*M!100300 , max_statement_time = {exact}, idle_transaction_timeout = {idles} */ \
             /*!80000 , max_execution_time = {millis}, wait_timeout = {ends} */",
            exact = statement.as_secs_f64(),
            millis = statement.as_millis().max(1),
            ends = seconds(idle * 2),
        ))
    }

    /// One that may take its time, and waits for locks as long as migrations do.
    pub(super) fn unhurried() -> Self {
        let locks = seconds(LOCK_WAIT);
        Self::with(&format!(
            "innodb_lock_wait_timeout = {locks}, lock_wait_timeout = {locks}"
        ))
    }

    fn with(bounds: &str) -> Self {
        Self(format!("{MEANING}, {bounds}").into())
    }

    /// Makes a new connection such a session.
    pub(super) async fn begin(&self, connection: &mut MySqlConnection) -> sqlx::Result<()> {
        connection
            .execute(AssertSqlSafe(self.0.as_ref().to_owned()))
            .await?;
        Ok(())
    }
}

/// Whole seconds, rounded up, at least one.
fn seconds(span: Duration) -> u64 {
    span.as_millis().div_ceil(1_000).max(1) as u64
}
