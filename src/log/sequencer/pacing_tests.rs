use proptest::prelude::*;

use super::*;
use crate::domain::{Epoch, Position, Tick};

const CLOCK: i64 = 1_700_000_000_000_000;

fn name() -> ModuleName {
    "m".parse().unwrap()
}

/// The database's head, and the replicas that number one after another.
struct Log {
    pace: Pace,
    pacing: Pacing,
    through: Micros,
    clock: i64,
    begun: Instant,
    rows: Vec<Micros>,
}

impl Log {
    fn new(pace: Pace) -> Self {
        Self {
            pace,
            pacing: Pacing::new(HashMap::from([(name(), pace)])),
            through: Micros::default(),
            clock: CLOCK,
            begun: Instant::now(),
            rows: Vec::new(),
        }
    }

    fn instant(&self) -> Instant {
        self.begun + Duration::from_micros((self.clock - CLOCK).max(0).unsigned_abs())
    }

    /// A batch of a replica whose database says that it is `skew` later than the last one's did.
    fn number(&mut self, count: usize, skew: i64) {
        let head = FencedHead {
            module: name(),
            epoch: Epoch::FIRST,
            head: Position::ZERO,
            retained_from: Position::new(1),
            sequenced_through: self.through,
        };
        let clock = Micros::new(self.clock + skew);
        let mut writer = self.pacing.writer(&head, clock);
        for _ in 0..count {
            let at = writer.next();
            assert!(at >= self.through, "below what is closed");
            self.rows.push(at);
        }
        let through = writer.close(clock, self.instant());
        assert!(self.rows.last().is_none_or(|last| through >= *last));
        self.through = self.through.max(through);
        self.pacing.written(&name(), &writer);
    }

    fn close(&mut self) {
        let asked = self.pacing.due(&name(), self.instant());
        let now = Micros::new(self.clock);
        self.through = self.through.max(now).max(asked);
        let closed = Closed {
            module: name(),
            epoch: Epoch::FIRST,
            head: Position::ZERO,
            through: self.through,
            now,
        };
        self.pacing.closed(&closed, asked, self.instant());
    }

    fn assert_paced(&self) {
        let mut ticks = std::collections::BTreeMap::<Micros, u32>::new();
        for at in &self.rows {
            *ticks.entry(self.pace.tick.begin(*at)).or_default() += 1;
        }
        assert!(self.rows.is_sorted());
        assert!(
            ticks.values().all(|count| *count <= self.pace.changes),
            "{ticks:?}"
        );
    }

    /// How far the log's time is ahead of the clock.
    fn lead(&self) -> Duration {
        self.through.since(Micros::new(self.clock))
    }

    fn is_all_closed(&self) -> bool {
        let last = self.rows.last();
        last.is_none_or(|last| self.pace.tick.end(*last) <= self.through)
    }
}

fn seconds(changes: u32) -> Log {
    Log::new(Pace {
        tick: Tick::SECOND,
        changes,
    })
}

#[test]
fn a_lone_change_is_closed_with_its_own_batch() {
    let mut log = seconds(10);
    log.number(1, 0);
    assert!(log.is_all_closed());
    log.clock += 300_000;
    log.number(1, 0);
    assert!(!log.is_all_closed(), "a second early one within the second");
    log.clock += 700_000;
    log.close();
    assert!(log.is_all_closed(), "a second after the first");
}

#[test]
fn a_burst_is_readable_at_once_and_the_clock_catches_up() {
    let mut log = seconds(1_000);
    for _ in 0..50 {
        log.number(2_000, 0);
        assert!(log.is_all_closed());
    }
    log.assert_paced();
    assert!(log.lead() >= Duration::from_secs(99));
    // A trickle that never stops.
    for _ in 0..600 {
        log.clock += 500_000;
        log.number(1, 0);
        log.close();
    }
    log.assert_paced();
    assert!(log.lead() <= Duration::from_secs(2), "{:?}", log.lead());
}

#[test]
fn a_trickle_does_not_drive_time_away() {
    let mut log = seconds(1_000);
    for _ in 0..10_000 {
        log.clock += 10_000;
        log.number(1, 0);
        log.close();
        assert!(log.lead() <= Duration::from_secs(2));
    }
    log.assert_paced();
}

#[test]
fn who_takes_over_after_a_burst_closes_the_last_tick() {
    let mut log = seconds(10);
    log.number(1, 0);
    log.number(95, 0);
    assert!(!log.is_all_closed());
    log.pacing.forget();
    log.close();
    log.close();
    assert!(log.is_all_closed());
    let through = log.through;
    for _ in 0..5 {
        log.close();
    }
    assert_eq!(log.through, through, "once is enough");
}

#[derive(Debug, Clone)]
enum Step {
    Number {
        rows: usize,
        skew: i64,
    },
    Wait(i64),
    Close,
    /// Another replica takes over, or the same one after an error.
    TakeOver,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_usize..40, -3_000_000_i64..3_000_000)
            .prop_map(|(rows, skew)| Step::Number { rows, skew }),
        3 => (0_i64..2_500_000).prop_map(Step::Wait),
        2 => Just(Step::Close),
        1 => Just(Step::TakeOver),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    /// Whatever comes in whatever order, with clocks that differ: ticks are bounded, times never go
    /// back, and nothing is numbered below what was closed.
    #[test]
    fn ticks_are_bounded(steps in steps(), changes in 1_u32..15, second: bool) {
        let tick = if second { Tick::SECOND } else { Tick::MILLISECOND };
        let mut log = Log::new(Pace { tick, changes });
        for step in steps {
            match step {
                Step::Number { rows, skew } => log.number(rows, skew),
                Step::Wait(micros) => log.clock += micros,
                Step::Close => log.close(),
                Step::TakeOver => log.pacing.forget(),
            }
        }
        log.assert_paced();
        // Quiet for a while: everything is served.
        for _ in 0..3 {
            log.clock += 2_000_000;
            log.close();
        }
        prop_assert!(log.is_all_closed());
    }
}
