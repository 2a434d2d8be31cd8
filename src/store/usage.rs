//! What was counted, by the hour.

use std::time::Duration;

use async_trait::async_trait;

use super::Result;
use crate::{
    domain::{Invalid, Micros, Stage, Transport},
    telemetry::usage::{UsageRow, UsageSum},
};

/// Additions of one process, to be written whole and once.
#[derive(Debug, Clone)]
pub struct UsageFlush {
    /// Drawn anew by each process.
    pub run: i64,
    /// Which of its flushes it is, from 1 on. Tried again, it is the same one.
    pub number: i64,
    /// When it was made.
    pub at: Micros,
    /// What is added, in the order of the table's key.
    pub rows: Vec<UsageRow>,
}

/// The hours that had most, of all modules together. They need not be the same one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Busiest {
    /// Requests of clients.
    pub requests: u64,
    /// SQL statements of the gateways.
    pub statements: u64,
}

/// The tables `usage_hourly` and `usage_writer`.
#[async_trait]
pub trait Usages {
    /// Adds to the hours, unless this flush is in them already: after an error whose outcome is unknown the same flush is to be tried
    /// again, as it is.
    async fn add_usage(&self, flush: &UsageFlush) -> Result<()>;

    /// The hours from `since` on in which no higher step than `stage` was asked for, added up by module and transport.
    async fn usage(&self, since: Micros, stage: Stage) -> Result<Vec<UsageSum>>;

    /// The busiest hours from `since` on.
    async fn busiest_hours(&self, since: Micros) -> Result<Busiest>;

    /// Deletes up to `most` rows of hours before `before`, and what is remembered of processes that wrote last before it. Returns how
    /// many rows.
    async fn forget_usage(&self, before: Micros, most: u32) -> Result<u64>;
}

/// Rows that one statement adds: with fourteen columns far below what any database binds.
pub(super) const ROWS: usize = 200;

/// As long as a flush may wait for its second try. What a process wrote is remembered longer.
pub(super) const REMEMBERED: Duration = Duration::from_hours(7 * 24);

/// The columns, in the order in which a row is bound.
pub(super) const INTO: &str = "\
    INSERT INTO usage_hourly (hour, module, transport, stage, counted_from, counted_to, requests, idle, memory, refused, \
        statements, bytes, messages, payloads) ";

/// What is bound beside hour, module and transport.
pub(super) fn numbers(row: &UsageRow) -> [i64; 11] {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let counts = &row.counts;
    [
        rank(row.stage),
        row.from.get(),
        row.to.get(),
        signed(counts.requests),
        signed(counts.idle),
        signed(counts.memory),
        signed(counts.refused),
        signed(counts.statements),
        signed(counts.bytes),
        signed(counts.messages),
        signed(counts.payloads),
    ]
}

/// Where a step stands on the ladder.
pub(super) fn rank(stage: Stage) -> i64 {
    let below = Stage::ALL.into_iter().filter(|one| *one < stage);
    i64::try_from(below.count()).unwrap_or(i64::MAX)
}

pub(super) fn transport(word: &str) -> std::result::Result<Transport, Invalid> {
    let all = [Transport::Poll, Transport::Push];
    let found = all.into_iter().find(|one| one.as_str() == word);
    found.ok_or_else(|| Invalid::new("transport", "is neither poll nor push"))
}
