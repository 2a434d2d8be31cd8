//! A new epoch of a module's log, begun where positions could have been given twice: after an older copy of
//! the database was put in place, or a fail-over that lost commits.
//!
//! Invariants: a new epoch begins in one transaction with its audit entry, and nobody numbers
//! meanwhile. After it every position that any answer carries, those of the state included, is above every
//! position known before, so an old integer cursor, which does not tell its epoch, is too old by
//! itself and gets all of the state. The lease token leaps too: one that the lost part of the history gave out
//! fences nothing ever again.
//!
//! Time cursors: `sequenced_through` never goes back, so no later row gets a tick of before. What the state
//! holds gets new times too, above every time known before and no more of it in a tick than the module's pace
//! allows: so a time cursor of before is too old and gets all of the state, in pages that only go forward.

use std::time::Duration;

use async_trait::async_trait;

use super::{Error, Result};
use crate::domain::{Cursor, Epoch, Micros, ModuleName, Pace, Position};

/// Where a log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct EpochMark {
    /// Its epoch.
    pub epoch: Epoch,
    /// The last position given.
    pub head: Position,
    /// The oldest position that the log promises to hold.
    pub retained_from: Position,
}

impl EpochMark {
    /// The end of the log.
    pub const fn cursor(&self) -> Cursor {
        Cursor::new(self.epoch, self.head)
    }
}

/// What calls for a new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// An operator.
    Asked,
    /// Somebody has seen a position beyond the head. Looked at once more under lock: if another
    /// replica was quicker, nothing is done.
    Beyond {
        /// A lease under whose token it is certain as long as the token stands, even if numbering has
        /// passed by that position meanwhile.
        under: Option<i64>,
    },
}

/// A new epoch as it is asked for.
#[derive(Debug, Clone)]
pub struct EpochBump {
    /// The module.
    pub module: ModuleName,
    /// Why it may be done.
    pub ground: Ground,
    /// The furthest cursor that anybody outside of the database has seen.
    pub witnessed: Option<Cursor>,
    /// The latest time that a change outside of the database has, or a tick that was called closed.
    pub witnessed_time: Micros,
    /// How changes are spread over ticks, if a cursor of the module is a time: the state gets new times by it.
    pub pace: Option<Pace>,
    /// Who, for the audit.
    pub actor: String,
    /// Why, for the audit.
    pub reason: String,
}

impl EpochBump {
    /// Whether the ground holds against a head and its lease token, read under lock.
    pub(super) fn is_called_for(&self, mark: &EpochMark, token: i64) -> bool {
        match self.ground {
            Ground::Asked => true,
            Ground::Beyond { under } => {
                under == Some(token) || self.witnessed > Some(mark.cursor())
            }
        }
    }
}

/// The new times of a state: where they begin, after everything up to `lost_through`.
pub(super) const fn first_tick(pace: Pace, lost_through: Micros) -> Micros {
    pace.tick.end(lost_through)
}

/// Where they end: no later row may have a time before it.
pub(super) fn last_tick(pace: Pace, first: Micros, items: u64) -> Micros {
    let ticks = items.div_ceil(u64::from(pace.changes.max(1)));
    pace.tick
        .after(first, i64::try_from(ticks).unwrap_or(i64::MAX))
}

/// A log before and after its new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct EpochBumped {
    /// As it was.
    pub before: EpochMark,
    /// As it is, or would be.
    pub after: EpochMark,
}

/// Beginning epochs.
#[async_trait]
pub trait Epochs {
    /// Begins a new epoch, if its ground still holds; `None` if not. The module's lease is taken from
    /// whoever has it, for `lease` at most, and is free afterwards. It may take as long as
    /// moving every row of the module's state takes.
    async fn bump_epoch(&self, bump: &EpochBump, lease: Duration) -> Result<Option<EpochBumped>>;

    /// What [`Epochs::bump_epoch`] would do now, on any ground.
    async fn try_epoch(&self, bump: &EpochBump) -> Result<EpochBumped>;

    /// The furthest row of a log and cursor of a mirror that lie beyond their module's head: there is none in
    /// a database that is whole.
    async fn beyond_heads(&self) -> Result<Vec<(ModuleName, Cursor)>>;
}

/// By how much the lease token grows.
pub(super) const TOKEN_LEAP: i64 = 1_000_000;

/// The holder while an epoch begins.
pub(super) const HOLDER: &str = "a new epoch begins";

/// The word of the audit.
pub(super) const ACTION: &str = "epoch";

/// What the database knows of a module, read under lock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Survey {
    pub(super) mark: EpochMark,
    pub(super) token: i64,
    /// The highest epoch and the highest position of the log's last row and the mirrors' cursors.
    pub(super) furthest: Cursor,
    /// The lowest and the highest position of the state.
    pub(super) state: Option<(Position, Position)>,
}

/// What is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leap {
    pub(super) bumped: EpochBumped,
    /// By how much the positions of the state grow: its last one becomes the new head.
    pub(super) state_shift: i64,
}

impl Survey {
    /// From the columns `epoch, head, retained_from, lease_token, furthest epoch, furthest position, lowest of the
    /// state, highest of the state`; the last two are NULL without state.
    pub(super) fn new(columns: &Columns) -> Self {
        let (epoch, head, retained_from, token, far_epoch, far_position, lowest, highest) =
            *columns;
        let (epoch, far_epoch) = (super::row::epoch(epoch), super::row::epoch(far_epoch));
        Self {
            mark: EpochMark {
                epoch,
                head: Position::from_i64(head),
                retained_from: Position::from_i64(retained_from),
            },
            token,
            furthest: Cursor::new(far_epoch, Position::from_i64(far_position)),
            state: lowest
                .zip(highest)
                .map(|(low, high)| (Position::from_i64(low), Position::from_i64(high))),
        }
    }

    /// Where the new epoch begins: above everything known, with room for the state below it.
    pub(super) fn leap(&self, witnessed: Option<Cursor>) -> Result<Leap> {
        let before = self.mark;
        let known = [Some(before.cursor()), Some(self.furthest), witnessed];
        let known = || known.iter().flatten();
        let epoch = known().map(|cursor| cursor.epoch).max();
        let position = known().map(|cursor| cursor.position);
        let position = position.chain(self.state.map(|(_, high)| high)).max();
        let span = self
            .state
            .map_or(0, |(low, high)| high.get() - low.get() + 1);
        let next = epoch.and_then(Epoch::next);
        let head = position.and_then(|position| position.leap(span));
        let (Some(epoch), Some(head)) = (next, head) else {
            return Err(Error::Corrupt {
                table: "module_head",
                what: format!(
                    "or somebody shows, an epoch or a position so high that no new epoch can follow: {before:?}, {witnessed:?}"
                ),
            });
        };
        let after = EpochMark {
            epoch,
            head,
            retained_from: head.next(),
        };
        let state_shift = self
            .state
            .map_or(0, |(_, high)| head.as_i64() - high.as_i64());
        Ok(Leap {
            bumped: EpochBumped { before, after },
            state_shift,
        })
    }
}

/// What each database selects for a [`Survey`].
pub(super) type Columns = (i64, i64, i64, i64, i64, i64, Option<i64>, Option<i64>);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::LEAP;

    fn cursor(epoch: u32, position: u64) -> Cursor {
        Cursor::new(Epoch::new(epoch), Position::new(position))
    }

    fn survey(epoch: u32, head: u64, state: Option<(u64, u64)>) -> Survey {
        Survey {
            mark: EpochMark {
                epoch: Epoch::new(epoch),
                head: Position::new(head),
                retained_from: Position::new(1),
            },
            token: 3,
            furthest: cursor(epoch, head),
            state: state.map(|(low, high)| (Position::new(low), Position::new(high))),
        }
    }

    #[test]
    fn the_epoch_is_above_every_witness() {
        let leap = survey(1, 100, None).leap(Some(cursor(4, 7))).unwrap();
        assert_eq!(leap.bumped.after.cursor(), cursor(5, LEAP));
        assert_eq!(leap.bumped.after.retained_from, Position::new(LEAP + 1));
        assert_eq!(leap.state_shift, 0);
    }

    #[test]
    fn near_the_end_it_is_refused() {
        let end = i64::MAX.cast_unsigned();
        for (survey, witnessed) in [
            (survey(u32::MAX, 1, None), None),
            (survey(1, end, None), None),
            (survey(1, 1, None), Some(cursor(1, u64::MAX))),
            (survey(1, 1, None), Some(cursor(u32::MAX, 1))),
        ] {
            assert!(survey.leap(witnessed).is_err());
        }
    }

    #[test]
    fn a_ground_is_judged_again() {
        let mark = survey(2, 100, None).mark;
        let bump = |ground, witnessed| EpochBump {
            module: "m".parse().unwrap(),
            ground,
            witnessed,
            witnessed_time: Micros::default(),
            pace: None,
            actor: String::new(),
            reason: String::new(),
        };
        let beyond = Ground::Beyond { under: None };
        assert!(bump(Ground::Asked, None).is_called_for(&mark, 3));
        assert!(bump(beyond, Some(cursor(2, 101))).is_called_for(&mark, 3));
        assert!(bump(beyond, Some(cursor(3, 1))).is_called_for(&mark, 3));
        assert!(!bump(beyond, Some(cursor(2, 100))).is_called_for(&mark, 3));
        assert!(!bump(beyond, Some(cursor(1, 900))).is_called_for(&mark, 3));
        let held = Ground::Beyond { under: Some(3) };
        assert!(bump(held, Some(cursor(2, 90))).is_called_for(&mark, 3));
        assert!(!bump(held, Some(cursor(2, 90))).is_called_for(&mark, 4));
    }

    proptest! {
        /// Whatever a client holds, the whole state lies above it, and below the new log.
        #[test]
        fn all_of_the_state_is_above_every_known_position(
            head in 0..1_u64 << 52,
            low in 0..1_u64 << 52,
            high in 0..1_u64 << 52,
            witnessed in prop::option::of((1..9_u32, 0..1_u64 << 53)),
        ) {
            let state = (low <= high && high <= head).then_some((low, high));
            let witnessed = witnessed.map(|(epoch, position)| cursor(epoch, position));
            let leap = survey(1, head, state).leap(witnessed).unwrap();
            let after = leap.bumped.after;
            let known = witnessed.map_or(head, |seen| head.max(seen.position.get()));
            prop_assert!(after.head.get() > known);
            prop_assert!(Some(after.cursor()) > witnessed);
            prop_assert_eq!(after.head.get() % LEAP, 0);
            if let Some((low, high)) = state {
                prop_assert_eq!(high.cast_signed() + leap.state_shift, after.head.as_i64());
                prop_assert!(low.cast_signed() + leap.state_shift > known.cast_signed());
            }
        }
    }
}
