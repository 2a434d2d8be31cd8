//! Where a change stands in its module's log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the head of a log jumps in, when a new epoch begins: far more than anybody loses in a restore.
pub const LEAP: u64 = 1_000_000;

/// Dense number of a change within its module's log and epoch, from 1. Zero is "before the first".
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(u64);

impl Position {
    /// Before the first change.
    pub const ZERO: Self = Self(0);

    /// A position. Databases hold signed 64-bit numbers; a log cannot live to reach that bound.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The position before this one; zero stays zero.
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Where a log goes on after positions could have been given twice: the first multiple of [`LEAP`]
    /// with `room` positions, and half a leap that nobody told of, between this one and it. `None`
    /// where no database could count on from there.
    pub fn leap(self, room: u64) -> Option<Self> {
        let least = self.0.checked_add(room)?.checked_add(LEAP / 2)?;
        let number = least.checked_next_multiple_of(LEAP)?;
        (number <= i64::MAX.cast_unsigned() - LEAP).then_some(Self(number))
    }

    /// The number as databases hold it.
    pub const fn as_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// A number that a database held. Positions are never negative; a negative one is read as zero.
    pub const fn from_i64(number: i64) -> Self {
        if number < 0 {
            Self::ZERO
        } else {
            Self(number.cast_unsigned())
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Incarnation of a module's log, from 1. It grows when positions could repeat (a restore).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(u32);

impl Epoch {
    /// The first incarnation.
    pub const FIRST: Self = Self(1);

    /// An epoch.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The epoch after this one; `None` after the last.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_small_log_leaps_to_the_first_million() {
        let leap = |from, room| Position::new(from).leap(room).map(Position::get);
        assert_eq!(leap(0, 0), Some(LEAP));
        assert_eq!(leap(150, 150), Some(LEAP));
        assert_eq!(leap(LEAP / 2, 0), Some(LEAP));
        assert_eq!(
            leap(LEAP / 2 + 1, 0),
            Some(2 * LEAP),
            "what nobody told of would not fit"
        );
        assert_eq!(leap(LEAP, LEAP), Some(3 * LEAP));
    }

    #[test]
    fn near_the_end_there_is_no_leap() {
        let end = i64::MAX.cast_unsigned();
        assert_eq!(Position::new(end).leap(0), None);
        assert_eq!(Position::new(u64::MAX).leap(1), None);
        assert_eq!(Position::new(1).leap(u64::MAX), None);
        assert_eq!(Position::new(end - LEAP).leap(0), None);
        assert!(Position::new(end - 4 * LEAP).leap(0).is_some());
        assert_eq!(Epoch::new(u32::MAX).next(), None);
        assert_eq!(Epoch::FIRST.next(), Some(Epoch::new(2)));
    }

    proptest! {
        #[test]
        fn a_leap_clears_everything_known(from: u64, room in 0..10 * LEAP) {
            if let Some(to) = Position::new(from).leap(room) {
                prop_assert_eq!(to.get() % LEAP, 0);
                prop_assert!(to.get() - room - from >= LEAP / 2);
                prop_assert!(to.get() - room - from < LEAP / 2 + LEAP);
                prop_assert!(to.as_i64() > 0);
                prop_assert!(i64::try_from(to.get() + LEAP).is_ok());
            }
        }

        #[test]
        fn repeated_leaps_ascend_evenly(from in 0..1000 * LEAP, room in 0..10 * LEAP, times in 1..50_u64) {
            let mut at = Position::new(from);
            for _ in 0..times {
                let to = at.leap(room).unwrap();
                prop_assert!(to > at);
                at = to;
            }
            prop_assert!(at.get() - from <= times * (room + 2 * LEAP));
        }
    }
}
