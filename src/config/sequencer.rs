//! `[sequencer]`: the one writer per module that numbers changes.

use serde::{Deserialize, Serialize};

/// Lease, rhythm and bounds of the numbering.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Sequencer {
    /// How long a module's lease lives without renewal: the longest take-over after a crash.
    pub lease_ms: u64,
    /// How often a held lease is renewed.
    pub renew_ms: u64,
    /// Most rows that one transaction numbers.
    pub batch: u32,
    /// Most bytes of rows that one transaction numbers; a single larger row goes alone.
    pub batch_bytes: usize,
    /// Pause between two looks at the outbox while rows are coming.
    pub busy_tick_ms: u64,
    /// Pause between two looks at an outbox that was empty.
    pub idle_tick_ms: u64,
    /// How often the whole outbox is read, for rows that committed late with a low id.
    pub full_scan_ms: u64,
    /// Channels whose last position is remembered between batches.
    pub channel_cache: usize,
}

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
        }
    }
}
