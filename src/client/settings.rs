//! The bounds and pauses of a client that the gateway does not say.

use std::time::Duration;

/// Bounds and pauses. What the gateway says goes before them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Between two polls, while no session has said it.
    pub poll_every: Duration,
    /// The longest time between two questions for the session, should the gateway name a longer one.
    pub session_every: Duration,
    /// The first pause after something failed; each following one is twice as long.
    pub first_pause: Duration,
    /// The longest pause after failures.
    pub longest_pause: Duration,
    /// The longest time between two questions for the session that a connection asks which cannot be made; it tries more often.
    pub longest_between_asks: Duration,
    /// The longest delay of the read that a new `generation` asks for: all clients of a broker see it at once.
    pub read_spread: Duration,
    /// After a flip the session is asked for again this much later: the replica that answered first may not have known of it.
    pub confirm_after: Duration,
    /// Pushed changes of a module that are kept during a read. More are left to the next read.
    pub kept_changes: usize,
    /// Reads to the end of the log that one pushed change may ask for, before it is dropped as none of this log.
    pub gap_tries: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            poll_every: Duration::from_secs(5),
            session_every: Duration::from_hours(24),
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(30),
            longest_between_asks: Duration::from_mins(5),
            read_spread: Duration::from_secs(2),
            confirm_after: Duration::from_secs(2),
            kept_changes: 1_000,
            gap_tries: 5,
        }
    }
}
