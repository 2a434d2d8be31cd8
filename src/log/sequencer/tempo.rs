//! When the outbox is looked at next: soon while rows are coming, rarely when it is quiet.
//!
//! Right after rows, twice as soon: the next ones have waited for these already. That costs one look per batch, and none
//! while nothing comes. Not where producers cannot commit meanwhile (SQLite): they try for the database's lock again and again, and
//! hardly any of their tries would fall between two batches.
//!
//! A row rarely comes alone. So after the last one the outbox is looked at often for a while:
//! going back to the idle tick at the first empty look would cost every tenth row of a steady stream
//! that tick.

use std::time::{Duration, Instant};

use super::Pass;
use crate::config::sequencer::Sequencer as Bounds;

/// How long the busy tick is kept after the last row.
const LINGER: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Tempo {
    after_rows: Duration,
    busy: Duration,
    idle: Duration,
    busy_until: Instant,
}

impl Tempo {
    /// `excludes_producers`: whether none can commit while a batch is numbered.
    pub(super) fn new(bounds: &Bounds, excludes_producers: bool, now: Instant) -> Self {
        let busy = Duration::from_millis(bounds.busy_tick_ms);
        Self {
            after_rows: if excludes_producers { busy } else { busy / 2 },
            busy,
            idle: Duration::from_millis(bounds.idle_tick_ms),
            busy_until: now,
        }
    }

    /// How long to wait after a pass that began at `began` and ended `now`. Ticks count from the
    /// beginning: what numbering took is not waited for once more.
    pub(super) fn wait(&mut self, pass: Pass, began: Instant, now: Instant) -> Duration {
        if pass != Pass::Idle {
            self.busy_until = now + LINGER;
        }
        let tick = match pass {
            Pass::Full => Duration::ZERO,
            Pass::Busy => self.after_rows,
            Pass::Idle if now < self.busy_until => self.busy,
            Pass::Idle => self.idle,
        };
        (began + tick).saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn the_busy_tick_outlives_the_last_row_for_a_while() {
        let start = Instant::now();
        let mut tempo = Tempo::new(&Bounds::default(), false, start);
        assert_eq!(tempo.wait(Pass::Idle, start, start), 20 * MILLISECOND);
        assert_eq!(tempo.wait(Pass::Full, start, start), Duration::ZERO);
        let numbered = start + MILLISECOND / 4;
        assert_eq!(tempo.wait(Pass::Busy, start, numbered), MILLISECOND * 3 / 4);
        let soon = start + 2 * MILLISECOND;
        assert_eq!(tempo.wait(Pass::Idle, soon, soon), 2 * MILLISECOND);
        let later = numbered + LINGER;
        assert_eq!(tempo.wait(Pass::Idle, later, later), 20 * MILLISECOND);
    }

    #[test]
    fn producers_that_are_shut_out_get_the_whole_tick() {
        let start = Instant::now();
        let mut tempo = Tempo::new(&Bounds::default(), true, start);
        assert_eq!(tempo.wait(Pass::Busy, start, start), 2 * MILLISECOND);
    }

    #[test]
    fn a_pass_that_took_longer_than_the_tick_is_followed_at_once() {
        let start = Instant::now();
        let mut tempo = Tempo::new(&Bounds::default(), false, start);
        let end = start + 3 * MILLISECOND;
        assert_eq!(tempo.wait(Pass::Busy, start, end), Duration::ZERO);
    }
}
