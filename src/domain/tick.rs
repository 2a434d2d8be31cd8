//! Ticks: the steps in which a legacy cursor that is a time can count.

use std::time::Duration;

use super::Micros;

/// The length of a tick. Ticks are named by the time at which they begin, and cover time from the
/// Unix epoch without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(i64);

impl Tick {
    /// A thousandth of a second.
    pub const MILLISECOND: Self = Self(1_000);
    /// A second.
    pub const SECOND: Self = Self(1_000_000);

    /// When the tick that `at` lies in begins.
    pub const fn begin(self, at: Micros) -> Micros {
        Micros::new(at.get() - at.get().rem_euclid(self.0))
    }

    /// When the tick that `at` lies in ends, which is where the next one begins.
    pub const fn end(self, at: Micros) -> Micros {
        Micros::new(self.begin(at).get().saturating_add(self.0))
    }

    /// The begin of the tick so many after the one that begins at `begin`.
    pub const fn after(self, begin: Micros, ticks: i64) -> Micros {
        Micros::new(begin.get().saturating_add(self.0.saturating_mul(ticks)))
    }

    /// How long a tick is, in microseconds.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// How long a tick is.
    pub const fn length(self) -> Duration {
        Duration::from_micros(self.0.unsigned_abs())
    }
}

/// How a module's changes are spread over ticks, so that a page which never splits a tick is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The tick.
    pub tick: Tick,
    /// Most changes of one tick.
    pub changes: u32,
}

impl Pace {
    /// What suits both: the longer tick, and the fewer changes in it. A short tick never crosses the
    /// border of a long one, so it holds no more than that.
    pub fn and(self, other: Self) -> Self {
        Self {
            tick: self.tick.max(other.tick),
            changes: self.changes.min(other.changes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_holds_its_begin_and_not_its_end() {
        let (begin, end) = (Micros::new(3_000_000), Micros::new(4_000_000));
        for at in [begin, Micros::new(3_999_999)] {
            assert_eq!(Tick::SECOND.begin(at), begin);
            assert_eq!(Tick::SECOND.end(at), end);
        }
        assert_eq!(Tick::SECOND.begin(end), end);
        assert_eq!(
            Tick::MILLISECOND.begin(Micros::new(-1)),
            Micros::new(-1_000)
        );
    }

    #[test]
    fn two_paces_agree_on_the_stricter() {
        let one = Pace {
            tick: Tick::SECOND,
            changes: 500,
        };
        let two = Pace {
            tick: Tick::MILLISECOND,
            changes: 20,
        };
        let both = Pace {
            tick: Tick::SECOND,
            changes: 20,
        };
        assert_eq!((one.and(two), two.and(one)), (both, both));
    }
}
