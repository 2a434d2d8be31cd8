//! Sums of what was counted by the hour.

use std::time::Duration;

use super::{Columns, decode};
use crate::{
    domain::Micros,
    store::{Busiest, usage},
    telemetry::usage::{Counts, UsageSum},
};

/// As the sums of `usage_hourly` are selected.
pub(in crate::store) fn usage_sum(row: &impl Columns) -> sqlx::Result<UsageSum> {
    let count = |column| row.integer(column).map(i64::unsigned_abs);
    Ok(UsageSum {
        module: row.text(0)?.to_owned(),
        transport: usage::transport(row.text(1)?).map_err(decode)?,
        counted: Duration::from_micros(count(2)?),
        from: Micros::new(row.integer(3)?),
        to: Micros::new(row.integer(4)?),
        counts: Counts {
            requests: count(5)?,
            idle: count(6)?,
            memory: count(7)?,
            refused: count(8)?,
            statements: count(9)?,
            bytes: count(10)?,
            messages: count(11)?,
            payloads: count(12)?,
        },
        busiest_requests: count(13)?,
        last_asked: row.optional_integer(14)?.map(Micros::new),
    })
}

/// The most requests of an hour, the most statements. Without hours both are absent.
pub(in crate::store) fn busiest(row: &impl Columns) -> sqlx::Result<Busiest> {
    let count = |column| -> sqlx::Result<u64> {
        Ok(row.optional_integer(column)?.unwrap_or(0).unsigned_abs())
    };
    Ok(Busiest {
        requests: count(0)?,
        statements: count(1)?,
    })
}
