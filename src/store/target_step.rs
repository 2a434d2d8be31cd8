//! What follows from an act on a target. Pure.

use super::{
    CursorMark, MirrorCursor, ReplayFrom, TargetAct, TargetActed, TargetBlocked, TargetCursor,
    TargetMark, TargetRecord, TargetStep, targets::TargetHead,
};
use crate::domain::{Cursor, Micros, ModuleName, Standing};

/// What the database knows of a target, read under lock.
pub(super) struct TargetSurvey {
    pub(super) record: Option<TargetRecord>,
    pub(super) heads: Vec<TargetHead>,
    pub(super) cursors: Vec<TargetCursor>,
    /// The versions of the modules' flags.
    pub(super) flags: Vec<(ModuleName, i64)>,
    pub(super) now: Micros,
}

/// What is to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TargetPlan {
    pub(super) acted: TargetActed,
    /// With the token of the module's lease.
    pub(super) rows: Vec<(TargetCursor, i64)>,
}

impl TargetSurvey {
    /// Decides.
    pub(super) fn plan(self, act: &TargetAct) -> Result<TargetPlan, TargetBlocked> {
        self.check_flags(act)?;
        let before = self.record.clone();
        let before = before.unwrap_or_else(|| TargetRecord::untouched(&act.target));
        let (standing, rows) = self.follow(act, before.standing)?;
        let after = TargetRecord {
            standing,
            target: before.target.clone(),
            version: before.version + 1,
            changed_by: act.actor.clone(),
            changed_at: self.now,
            reason: act.reason.clone(),
        };
        let was = |row: &TargetCursor| self.cursor(&row.row.module);
        let moved = |row: &&TargetCursor| was(row).is_none_or(|was| was.row != row.row);
        let before_cursors = rows.iter().filter(moved).filter_map(was).map(mark);
        let acted = TargetActed {
            before: TargetMark {
                record: before,
                cursors: before_cursors.collect(),
            },
            after: TargetMark {
                record: after,
                cursors: rows.iter().filter(moved).map(mark).collect(),
            },
        };
        let with_token = |row: TargetCursor| {
            let token = self
                .head(&row.row.module)
                .map_or(0, |head| head.lease.token);
            (row, token)
        };
        Ok(TargetPlan {
            acted,
            rows: rows.into_iter().map(with_token).collect(),
        })
    }

    fn follow(
        &self,
        act: &TargetAct,
        standing: Standing,
    ) -> Result<(Standing, Vec<TargetCursor>), TargetBlocked> {
        let target = || act.target.clone();
        match (&act.step, standing) {
            (TargetStep::Pause, Standing::Retired) => {
                Err(TargetBlocked::RetiredAlready { target: target() })
            }
            (TargetStep::Pause, _) => Ok((Standing::Paused, Vec::new())),
            (TargetStep::Retry, Standing::Active) => Ok((standing, Vec::new())),
            (TargetStep::Retry, standing) => {
                let target = target();
                Err(TargetBlocked::NotFed { target, standing })
            }
            (TargetStep::Retire, _) => Ok((Standing::Retired, self.retired())),
            (TargetStep::Resume { at_head: true }, Standing::Active) => {
                Err(TargetBlocked::Active { target: target() })
            }
            (TargetStep::Resume { at_head: true }, Standing::Paused) => {
                Ok((Standing::Active, self.at_heads(|_| true)))
            }
            (TargetStep::Resume { at_head }, Standing::Retired) => {
                let undecided = |row: &&TargetCursor| {
                    row.retired_at > Micros::default() && act.modules.contains(&row.row.module)
                };
                let modules = self.cursors.iter().filter(undecided);
                let modules: Vec<_> = modules.map(|row| row.row.module.clone()).collect();
                if !at_head && !modules.is_empty() {
                    let target = target();
                    return Err(TargetBlocked::NotBegun { target, modules });
                }
                let retired = |row: &TargetCursor| row.retired_at > Micros::default();
                Ok((Standing::Active, self.at_heads(retired)))
            }
            (TargetStep::Resume { .. }, _) => Ok((Standing::Active, Vec::new())),
            (TargetStep::Replay { module, from }, _) => {
                Ok((standing, vec![self.replayed(module, *from)?]))
            }
        }
    }

    fn check_flags(&self, act: &TargetAct) -> Result<(), TargetBlocked> {
        let version = |module: &ModuleName| {
            let flags = self.flags.iter().find(|(name, _)| name == module);
            flags.map_or(0, |(_, version)| *version)
        };
        match act
            .seen
            .iter()
            .find(|(module, seen)| version(module) != *seen)
        {
            None => Ok(()),
            Some((module, _)) => Err(TargetBlocked::FlagsChanged {
                module: module.clone(),
            }),
        }
    }

    fn cursor(&self, module: &ModuleName) -> Option<&TargetCursor> {
        self.cursors.iter().find(|row| row.row.module == *module)
    }

    fn head(&self, module: &ModuleName) -> Option<&TargetHead> {
        self.heads.iter().find(|head| head.lease.module == *module)
    }

    /// They stay where they are, and do not count any more.
    fn retired(&self) -> Vec<TargetCursor> {
        let counts = |row: &&TargetCursor| row.retired_at == Micros::default();
        let retire = |row: &TargetCursor| TargetCursor {
            retired_at: self.now,
            ..row.clone()
        };
        self.cursors.iter().filter(counts).map(retire).collect()
    }

    fn at_heads(&self, which: impl Fn(&TargetCursor) -> bool) -> Vec<TargetCursor> {
        let moved = |row: &TargetCursor| {
            let head = self.head(&row.row.module)?;
            Some(set(&row.row.module, Some(row), head.head))
        };
        let rows = self.cursors.iter().filter(|row| which(row));
        rows.filter_map(moved).collect()
    }

    fn replayed(
        &self,
        module: &ModuleName,
        from: ReplayFrom,
    ) -> Result<TargetCursor, TargetBlocked> {
        let module = module.clone();
        let Some(log) = self.head(&module) else {
            return Err(TargetBlocked::NoLog { module });
        };
        let (head, retained_from) = (log.head, log.retained_from);
        let from = match from {
            ReplayFrom::Cursor(cursor) => cursor,
            ReplayFrom::Position(position) => Cursor::new(head.epoch, position),
        };
        if from.epoch != head.epoch {
            return Err(TargetBlocked::OtherEpoch { module, head, from });
        }
        if from.position > head.position {
            return Err(TargetBlocked::BeyondHead { module, head, from });
        }
        if from.position.next() < retained_from {
            return Err(TargetBlocked::TooOld {
                module,
                retained_from,
            });
        }
        Ok(set(&module, self.cursor(&module), from))
    }
}

/// A cursor that is set by hand counts, in a generation of its own.
fn set(module: &ModuleName, row: Option<&TargetCursor>, to: Cursor) -> TargetCursor {
    TargetCursor {
        row: MirrorCursor {
            module: module.clone(),
            cursor: to,
            generation: row.map_or(0, |row| row.row.generation) + 1,
            version: row.map_or(0, |row| row.row.version) + 1,
        },
        retired_at: Micros::default(),
    }
}

fn mark(row: &TargetCursor) -> CursorMark {
    CursorMark {
        module: row.row.module.clone(),
        cursor: row.row.cursor,
        generation: row.row.generation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Epoch, Position},
        store::Lease,
    };

    fn name(module: &str) -> ModuleName {
        module.parse().unwrap()
    }

    fn at(position: u64) -> Cursor {
        Cursor::new(Epoch::new(2), Position::new(position))
    }

    /// Module `a` is at 40 of 100, `b` at 7 of 100; both logs begin at 11.
    fn survey(standing: Standing, retired_at: i64) -> TargetSurvey {
        let cursor = |module, position| TargetCursor {
            row: MirrorCursor {
                module: name(module),
                cursor: at(position),
                generation: 3,
                version: 9,
            },
            retired_at: Micros::new(retired_at),
        };
        let head = |module| TargetHead {
            lease: Lease {
                module: name(module),
                token: 5,
            },
            head: at(100),
            retained_from: Position::new(11),
        };
        TargetSurvey {
            record: Some(TargetRecord {
                standing,
                version: 4,
                ..TargetRecord::untouched("t")
            }),
            heads: vec![head("a"), head("b")],
            cursors: vec![cursor("a", 40), cursor("b", 7)],
            flags: vec![(name("a"), 2)],
            now: Micros::new(1_000),
        }
    }

    fn act(step: TargetStep) -> TargetAct {
        TargetAct {
            seen: Vec::new(),
            target: "t".to_owned(),
            step,
            modules: vec![name("a"), name("b")],
            actor: "me".to_owned(),
            reason: "why".to_owned(),
            dry_run: false,
        }
    }

    fn replay(module: &str, from: ReplayFrom) -> TargetAct {
        let module = name(module);
        act(TargetStep::Replay { module, from })
    }

    #[test]
    fn pausing_and_resuming_move_no_cursor() {
        let plan = survey(Standing::Active, 0).plan(&act(TargetStep::Pause));
        let plan = plan.unwrap();
        assert_eq!(plan.rows, []);
        let after = plan.acted.after.record;
        assert_eq!((after.standing, after.version), (Standing::Paused, 5));
        let resume = act(TargetStep::Resume { at_head: false });
        let plan = survey(Standing::Paused, 0).plan(&resume).unwrap();
        assert_eq!(plan.acted.after.record.standing, Standing::Active);
        assert_eq!(plan.rows, []);
    }

    #[test]
    fn a_retired_target_must_be_told_where_to_begin() {
        let retired = survey(Standing::Active, 0).plan(&act(TargetStep::Retire));
        let rows = retired.unwrap().rows;
        assert!(rows.iter().all(|(row, _)| row.retired_at.get() == 1_000));
        let resume = act(TargetStep::Resume { at_head: false });
        let blocked = survey(Standing::Retired, 1).plan(&resume).unwrap_err();
        let word = blocked.to_string();
        assert!(word.contains("a, b") && word.contains("at_head"), "{word}");
        let resume = act(TargetStep::Resume { at_head: true });
        let plan = survey(Standing::Retired, 1).plan(&resume).unwrap();
        for (row, token) in plan.rows {
            let MirrorCursor {
                cursor,
                generation,
                version,
                ..
            } = row.row;
            assert_eq!((cursor, generation, version), (at(100), 4, 10));
            assert_eq!((row.retired_at, token), (Micros::default(), 5));
        }
    }

    #[test]
    fn what_was_replayed_while_it_was_retired_stays() {
        let mut survey = survey(Standing::Retired, 1);
        survey.cursors[0].retired_at = Micros::default();
        let resume = act(TargetStep::Resume { at_head: true });
        let plan = survey.plan(&resume).unwrap();
        let moved: Vec<_> = plan
            .rows
            .iter()
            .map(|(row, _)| row.row.module.as_str())
            .collect();
        assert_eq!(moved, ["b"]);
    }

    #[test]
    fn a_replay_stays_within_the_log() {
        let back = replay("a", ReplayFrom::Position(Position::new(10)));
        let plan = survey(Standing::Active, 0).plan(&back).unwrap();
        let row = &plan.rows[0].0.row;
        assert_eq!((row.cursor, row.generation, row.version), (at(10), 4, 10));
        let refused = |from| {
            let act = replay("a", from);
            survey(Standing::Active, 0).plan(&act).unwrap_err()
        };
        assert!(matches!(
            refused(ReplayFrom::Position(Position::new(9))),
            TargetBlocked::TooOld { .. }
        ));
        assert!(matches!(
            refused(ReplayFrom::Position(Position::new(101))),
            TargetBlocked::BeyondHead { .. }
        ));
        assert!(matches!(
            refused(ReplayFrom::Cursor(Cursor::new(
                Epoch::new(1),
                Position::new(50)
            ))),
            TargetBlocked::OtherEpoch { .. }
        ));
        let unknown = survey(Standing::Active, 0).plan(&replay("c", ReplayFrom::Cursor(at(50))));
        assert!(matches!(unknown, Err(TargetBlocked::NoLog { .. })));
    }

    #[test]
    fn only_who_is_fed_tries_again() {
        let plan = survey(Standing::Active, 0).plan(&act(TargetStep::Retry));
        let plan = plan.unwrap();
        assert_eq!((plan.rows, plan.acted.after.record.version), (vec![], 5));
        let blocked = survey(Standing::Paused, 0).plan(&act(TargetStep::Retry));
        assert!(matches!(blocked, Err(TargetBlocked::NotFed { .. })));
    }

    #[test]
    fn who_is_fed_loses_nothing_by_a_slip() {
        let resume = act(TargetStep::Resume { at_head: true });
        let blocked = survey(Standing::Active, 0).plan(&resume);
        assert!(matches!(blocked, Err(TargetBlocked::Active { .. })));
        let pause = survey(Standing::Retired, 1).plan(&act(TargetStep::Pause));
        assert!(matches!(pause, Err(TargetBlocked::RetiredAlready { .. })));
    }
}
