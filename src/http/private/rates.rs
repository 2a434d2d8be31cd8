//! How fast a module is used on this replica, in the answers of the admin API.

use std::time::Instant;

use serde::Serialize;
use utoipa::ToSchema;

use super::PrivateState;
use crate::domain::ModuleName;

/// What this replica has served of a module in the last minute, or since its start if that was later.
#[derive(Debug, Serialize, ToSchema)]
pub struct RatesView {
    /// Legacy polls.
    polls_per_s: f64,
    /// Polls that were told that there is nothing new.
    idle_polls_per_s: f64,
    /// SQL statements for polls and reads of this module.
    sql_per_s: f64,
    /// Changes handed to brokers; 0 on replicas that do not mirror the module.
    pushed_per_s: f64,
    /// Bytes of bodies and payloads.
    bytes_per_s: f64,
    /// Over how many seconds this is the average.
    window_s: f64,
}

impl RatesView {
    /// Absent in the first moments of a process.
    pub(super) fn new(state: &PrivateState, module: &ModuleName) -> Option<Self> {
        let rates = state.usage.rates(module, Instant::now())?;
        Some(Self {
            polls_per_s: rates.polls_per_s,
            idle_polls_per_s: rates.idle_polls_per_s,
            sql_per_s: rates.sql_per_s,
            pushed_per_s: rates.pushed_per_s,
            bytes_per_s: rates.bytes_per_s,
            window_s: rates.window_s,
        })
    }
}
