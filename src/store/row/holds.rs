//! What holds stages down: panics and guards.

use super::{Columns, decode, module};
use crate::{
    domain::{BasisPoints, GuardCause, Micros, ModuleName},
    store::{GuardRecord, GuardsSeen, PanicRecord, panics::ALL},
};

/// `module, version, actor, reason, since, lifted_at`.
pub(in crate::store) fn panic_record(row: &impl Columns) -> sqlx::Result<PanicRecord> {
    let over = row.text(0)?;
    Ok(PanicRecord {
        module: (over != ALL).then(|| module(over)).transpose()?,
        version: row.integer(1)?,
        actor: row.text(2)?.to_owned(),
        reason: row.text(3)?.to_owned(),
        since: Micros::new(row.integer(4)?),
        lifted_at: row.optional_integer(5)?.map(Micros::new),
    })
}

/// `module, lease_holder, lease_expires_at`, now, `target, state, reason, share, since, healthy_since, version, turns`: of each module,
/// and of each of its guards, if it has any.
pub(in crate::store) fn guards_seen(rows: &[impl Columns]) -> sqlx::Result<GuardsSeen> {
    let mut seen = GuardsSeen::default();
    for row in rows {
        let module = module(row.text(0)?)?;
        let now = Micros::new(row.integer(3)?);
        let is_vacant = row.optional_text(1)?.is_none() || row.integer(2)? <= now.get();
        if is_vacant && seen.vacant.last() != Some(&module) {
            seen.vacant.push(module.clone());
        }
        if let Some(target) = row.optional_text(4)? {
            seen.records.push(guard_record(row, module, target, now)?);
        }
    }
    Ok(seen)
}

fn guard_record(
    row: &impl Columns,
    module: ModuleName,
    target: &str,
    now: Micros,
) -> sqlx::Result<GuardRecord> {
    let cause = row.text(6)?;
    let cause = (!cause.is_empty()).then(|| cause.parse::<GuardCause>());
    let share = u16::try_from(row.integer(7)?).unwrap_or(u16::MAX);
    let since = Micros::new(row.integer(8)?);
    Ok(GuardRecord {
        module,
        target: target.to_owned(),
        state: row.text(5)?.parse().map_err(decode)?,
        cause: cause.transpose().map_err(decode)?,
        share: BasisPoints::new(share).map_err(decode)?,
        since,
        age: now.since(since),
        healthy_since: row.optional_integer(9)?.map(Micros::new),
        version: row.integer(10)?,
        turns: row.integer(11)?,
    })
}
