//! Where a change stands in its module's log.

use std::fmt;

use serde::{Deserialize, Serialize};

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
