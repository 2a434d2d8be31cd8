//! `[sequencer]`: the one writer per module that numbers changes.

use serde::{Deserialize, Serialize};

use super::Problems;

/// Lease, rhythm and bounds of the numbering.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sequencer {
    /// How long a module's lease lives without renewal: the longest take-over after a crash.
    pub lease_ms: u64,
    /// How often a held lease is renewed.
    pub renew_ms: u64,
    /// Most rows that one transaction numbers.
    pub batch: u32,
    /// Most bytes of rows that one transaction numbers; a single larger row goes alone.
    pub batch_bytes: usize,
    /// Pause between two looks at the outbox while rows are coming; half of it after a look that found some, except on SQLite.
    pub busy_tick_ms: u64,
    /// Pause between two looks at an outbox that was empty.
    pub idle_tick_ms: u64,
    /// How often the whole outbox is read, for rows that committed late with a low id; on PostgreSQL at most once a minute.
    pub full_scan_ms: u64,
    /// Channels whose last position is remembered between batches.
    pub channel_cache: usize,
    /// How long a replica runs before it asks others for its share of the modules.
    pub even_out_after_ms: u64,
    /// Most modules that a replica asks for at a time.
    pub moves: u32,
    /// How long a module that is handed over waits for what its targets have not acknowledged.
    pub hand_over_ms: u64,
}

/// What is asked for fits into a row of the database.
const MOST_MOVES: u64 = 64;

impl Default for Sequencer {
    fn default() -> Self {
        Self {
            lease_ms: 1_500,
            renew_ms: 400,
            batch: 2_000,
            batch_bytes: 8 * 1024 * 1024,
            busy_tick_ms: 2,
            idle_tick_ms: 20,
            full_scan_ms: 1_000,
            channel_cache: 100_000,
            even_out_after_ms: 5_000,
            moves: 4,
            hand_over_ms: 500,
        }
    }
}

impl Sequencer {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let mut bound = |key: &str, value: u64, min, max| {
            problems.bound(&format!("{path}.{key}"), value, min, max);
        };
        bound("lease_ms", self.lease_ms, 100, 600_000);
        bound("renew_ms", self.renew_ms, 10, 300_000);
        bound("batch", self.batch.into(), 1, 100_000);
        bound("batch_bytes", self.batch_bytes as u64, 1_024, 1 << 30);
        bound("busy_tick_ms", self.busy_tick_ms, 1, 60_000);
        bound("idle_tick_ms", self.idle_tick_ms, 1, 60_000);
        bound("full_scan_ms", self.full_scan_ms, 10, 600_000);
        bound("channel_cache", self.channel_cache as u64, 1, 100_000_000);
        bound("even_out_after_ms", self.even_out_after_ms, 0, 3_600_000);
        bound("moves", self.moves.into(), 1, MOST_MOVES);
        bound("hand_over_ms", self.hand_over_ms, 0, 60_000);
        self.validate_rhythm(path, problems);
    }

    fn validate_rhythm(&self, path: &str, problems: &mut Problems) {
        if self.renew_ms >= self.lease_ms / 2 {
            problems.push(
                format!("{path}.renew_ms"),
                format!(
                    "must be below half of {path}.lease_ms ({}), or one late renewal loses the lease; it is {}",
                    self.lease_ms, self.renew_ms
                ),
            );
        }
        if self.busy_tick_ms > self.idle_tick_ms {
            problems.push(
                format!("{path}.busy_tick_ms"),
                format!(
                    "must not be above {path}.idle_tick_ms ({})",
                    self.idle_tick_ms
                ),
            );
        }
    }
}
