//! `[mirror]`: publishing the log to the targets.

use serde::{Deserialize, Serialize};

use super::{Problems, span::Span};

/// The longest that `mirror.bookmark_ms` may be.
pub const LONGEST_BOOKMARK_MS: u64 = 3_600_000;

/// Bounds and rhythm of each target's publisher.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mirror {
    /// Publishes that may be without acknowledgement at once, per target.
    pub inflight: u16,
    /// Most changes read from the log at once, per module.
    pub batch: u32,
    /// Longest time between two writes of a moved cursor.
    pub cursor_ms: u64,
    /// Acknowledgements after which the cursor is written at once.
    pub cursor_acks: u64,
    /// First pause before a new connection; it doubles, with jitter.
    pub backoff_min_ms: u64,
    /// Longest pause before a new connection.
    pub backoff_max_ms: u64,
    /// Pause after a broker's loss of state, for its subscribers to come back.
    pub settle_ms: u64,
    /// After a loss of state, positions younger than this at the moment of loss are sent again.
    pub replay_on_reconnect: Span,
    /// Refusals of one position before it is sent as a pointer; if that is refused too, its module's
    /// mirror halts on this target.
    pub refusal_tries: u32,
    /// How long a publish may be the one that has been under way longest. Then the connection is given up; a publish
    /// that is left without an answer although the broker answers others counts as refused.
    pub ack_timeout_ms: u64,
    /// How long a halted module rests before it is tried once more.
    pub halt_retry_ms: u64,
    /// How often the retained message of each module is published again.
    pub bookmark_ms: u64,
    /// MQTT keep-alive of the gateway's own connections, at least 5.
    pub keep_alive_s: u16,
    /// How long a clean stop waits for acknowledgements, and again for the last cursors to be
    /// written. Twice this must fit into `server.drain_ms`.
    pub drain_ms: u64,
}

impl Default for Mirror {
    fn default() -> Self {
        Self {
            inflight: 1_000,
            batch: 1_000,
            cursor_ms: 200,
            cursor_acks: 1_000,
            backoff_min_ms: 100,
            backoff_max_ms: 30_000,
            settle_ms: 1_000,
            replay_on_reconnect: Span::from_secs(2),
            refusal_tries: 5,
            ack_timeout_ms: 10_000,
            halt_retry_ms: 60_000,
            bookmark_ms: 5_000,
            keep_alive_s: 15,
            drain_ms: 2_000,
        }
    }
}

impl Mirror {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let mut bound = |key: &str, value: u64, min, max| {
            problems.bound(&format!("{path}.{key}"), value, min, max);
        };
        bound("inflight", self.inflight.into(), 1, 65_535);
        bound("batch", self.batch.into(), 1, 100_000);
        bound("cursor_ms", self.cursor_ms, 1, 60_000);
        bound("cursor_acks", self.cursor_acks, 1, 1_000_000);
        bound("backoff_min_ms", self.backoff_min_ms, 1, 600_000);
        bound("backoff_max_ms", self.backoff_max_ms, 1, 3_600_000);
        bound("settle_ms", self.settle_ms, 0, 600_000);
        bound("refusal_tries", self.refusal_tries.into(), 1, 1_000);
        bound("ack_timeout_ms", self.ack_timeout_ms, 100, 3_600_000);
        bound("halt_retry_ms", self.halt_retry_ms, 100, 86_400_000);
        bound("bookmark_ms", self.bookmark_ms, 100, LONGEST_BOOKMARK_MS);
        bound("drain_ms", self.drain_ms, 1, 600_000);
        bound("keep_alive_s", self.keep_alive_s.into(), 5, 65_535);
        let replay = &format!("{path}.replay_on_reconnect");
        problems.bound_span(replay, self.replay_on_reconnect, "0s", "1day");
        if self.backoff_min_ms > self.backoff_max_ms {
            problems.push(
                format!("{path}.backoff_min_ms"),
                format!(
                    "must not be above {path}.backoff_max_ms ({})",
                    self.backoff_max_ms
                ),
            );
        }
    }
}
