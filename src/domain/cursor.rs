//! A cursor: everything up to a position of an epoch has been seen.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Epoch, Invalid, Position};

/// Epoch and position as one opaque token, `{epoch:08x}_{position:016x}`. The tokens sort as the
/// cursors do, byte by byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor {
    /// Incarnation of the log that the position belongs to.
    pub epoch: Epoch,
    /// The last position seen; zero for none.
    pub position: Position,
}

const EPOCH_DIGITS: usize = 8;
const POSITION_DIGITS: usize = 16;

impl Cursor {
    /// A cursor behind `position` of `epoch`.
    pub const fn new(epoch: Epoch, position: Position) -> Self {
        Self { epoch, position }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}_{:016x}", self.epoch.get(), self.position.get())
    }
}

impl FromStr for Cursor {
    type Err = Invalid;

    fn from_str(token: &str) -> Result<Self, Invalid> {
        parse(token).ok_or_else(|| {
            Invalid::new(
                "cursor",
                "is not a cursor of this service: send back the one from the last answer, or none to begin",
            )
        })
    }
}

/// Strict: upper-case digits or signs would give one cursor several spellings.
fn parse(token: &str) -> Option<Cursor> {
    let (epoch, position) = token.split_once('_')?;
    let epoch = u32::try_from(hex(epoch, EPOCH_DIGITS)?).ok()?;
    let position = hex(position, POSITION_DIGITS)?;
    // A position beyond what a database can hold was never given out.
    (position <= i64::MAX.cast_unsigned())
        .then(|| Cursor::new(Epoch::new(epoch), Position::new(position)))
}

fn hex(digits: &str, count: usize) -> Option<u64> {
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (digits.len() == count && digits.bytes().all(lower_hex))
        .then(|| u64::from_str_radix(digits, 16).ok())
        .flatten()
}

impl TryFrom<String> for Cursor {
    type Error = Invalid;

    fn try_from(token: String) -> Result<Self, Invalid> {
        token.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}
