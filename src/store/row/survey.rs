//! What an act on a target is decided on.

use super::{Columns, epoch, module, target_cursor, target_record};
use crate::{
    domain::{Cursor, Micros, Position},
    store::{Lease, target_step::TargetSurvey, targets::TargetHead},
};

/// `module, epoch, head, retained_from, lease_token` of all modules; the records of all targets; the cursors of one.
pub(in crate::store) fn target_survey<R: Columns>(
    target: &str,
    heads: &[R],
    records: &[R],
    cursors: &[R],
    flags: &[R],
    now: Micros,
) -> sqlx::Result<TargetSurvey> {
    let head = |row: &R| -> sqlx::Result<TargetHead> {
        Ok(TargetHead {
            lease: Lease {
                module: module(row.text(0)?)?,
                token: row.integer(4)?,
            },
            head: Cursor::new(epoch(row.integer(1)?), Position::from_i64(row.integer(2)?)),
            retained_from: Position::from_i64(row.integer(3)?),
        })
    };
    let version = |row: &R| Ok((module(row.text(0)?)?, row.integer(1)?));
    let records: Vec<_> = records
        .iter()
        .map(target_record)
        .collect::<sqlx::Result<_>>()?;
    Ok(TargetSurvey {
        record: records.into_iter().find(|record| record.target == target),
        heads: heads.iter().map(head).collect::<sqlx::Result<_>>()?,
        cursors: cursors
            .iter()
            .map(target_cursor)
            .collect::<sqlx::Result<_>>()?,
        flags: flags.iter().map(version).collect::<sqlx::Result<_>>()?,
        now,
    })
}
