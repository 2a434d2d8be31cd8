//! What holds stages down: panics and guards.

use super::{Columns, decode, module};
use crate::{
    domain::{BasisPoints, GuardCause, Micros, ModuleName},
    store::{Error, GuardRecord, GuardsSeen, PanicRecord, Unreadable, panics::ALL},
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
/// and of each of its guards, if it has any. What cannot be read of one hides no other.
pub(in crate::store) fn guards_seen(rows: &[impl Columns]) -> GuardsSeen {
    let mut seen = GuardsSeen::default();
    for row in rows {
        let read = head(row, &mut seen.vacant)
            .map_err(|error| ("module_head", error))
            .and_then(|(module, now)| guard(row, module, now).map_err(|error| ("guard", error)));
        match read {
            Ok(record) => seen.records.extend(record),
            Err((table, error)) => {
                let module = row.text(0).unwrap_or_default().to_owned();
                let target = row.optional_text(4).ok().flatten().unwrap_or_default();
                let (name, target) = (module.escape_debug(), target.escape_debug());
                let what = format!("what cannot be read of `{name}` on `{target}`: {error}");
                let error = Error::Corrupt { table, what };
                seen.unreadable.push(Unreadable { module, error });
            }
        }
    }
    seen
}

fn head(row: &impl Columns, vacant: &mut Vec<ModuleName>) -> sqlx::Result<(ModuleName, Micros)> {
    let module = module(row.text(0)?)?;
    let now = Micros::new(row.integer(3)?);
    let is_vacant = row.optional_text(1)?.is_none() || row.integer(2)? <= now.get();
    if is_vacant && vacant.last() != Some(&module) {
        vacant.push(module.clone());
    }
    Ok((module, now))
}

fn guard(row: &impl Columns, module: ModuleName, now: Micros) -> sqlx::Result<Option<GuardRecord>> {
    let target = row.optional_text(4)?;
    target
        .map(|target| guard_record(row, module, target, now))
        .transpose()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns as texts, `None` = NULL.
    struct Row(Vec<Option<&'static str>>);

    impl Columns for Row {
        fn integer(&self, column: usize) -> sqlx::Result<i64> {
            let number = self.text(column)?.parse();
            number.map_err(|error| sqlx::Error::Decode(Box::new(error)))
        }

        fn text(&self, column: usize) -> sqlx::Result<&str> {
            self.0[column].ok_or(sqlx::Error::RowNotFound)
        }

        fn optional_integer(&self, column: usize) -> sqlx::Result<Option<i64>> {
            self.0[column].map(|_| self.integer(column)).transpose()
        }

        fn optional_text(&self, column: usize) -> sqlx::Result<Option<&str>> {
            Ok(self.0[column])
        }
    }

    fn row(module: &'static str, state: &'static str, cause: &'static str) -> Row {
        let head = [module, "holder", "50", "60"];
        let guard = [head.as_slice(), &["t", state, cause, "10000", "10"]].concat();
        let mut columns: Vec<_> = guard.into_iter().map(Some).collect();
        columns.extend([None, Some("3"), Some("1")]);
        Row(columns)
    }

    #[test]
    fn what_cannot_be_read_hides_no_other() {
        let rows = [
            row("A module", "watching", ""),
            row("a", "resting", ""),
            row("b", "tripped", "moonshine"),
            row("c", "tripped", "lag"),
        ];
        let seen = guards_seen(&rows);
        let read: Vec<_> = seen.records.iter().map(|one| one.module.as_str()).collect();
        assert_eq!(read, ["c"]);
        let told: Vec<_> = seen
            .unreadable
            .iter()
            .map(|one| (one.module.as_str(), one.error.to_string()))
            .collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].1.starts_with("module_head holds"), "{told:?}");
        assert!(told[1].1.contains("`a` on `t`"), "{told:?}");
        assert!(!seen.can_be_read(&"b".parse().unwrap()));
        assert!(seen.can_be_read(&"c".parse().unwrap()));
        // Whose lease is vacant is known all the same.
        let vacant: Vec<_> = seen.vacant.iter().map(ModuleName::as_str).collect();
        assert_eq!(vacant, ["a", "b", "c"]);
    }
}
