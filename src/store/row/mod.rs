//! From columns to changes and state, the same for every database.
//!
//! Invariant: the statements of each database name the columns in the order that stands here.

mod evidence;
mod holds;
mod stages;
mod survey;
mod tokens;
mod usage;

use std::{collections::HashMap, sync::Arc};

use sqlx::{ColumnIndex, Decode, Row, Type};

pub(super) use self::{
    evidence::{seen_fact, verifier_period},
    holds::{guards_seen, panic_record},
    stages::{StoredAudit, stages_read},
    survey::target_survey,
    tokens::{token_modules, token_record},
    usage::{busiest, usage_sum},
};
use super::{
    Closed, Error, FencedHead, Head, Instance, Lease, MirrorCursor, Result, StateItem,
    TargetCursor, TargetRecord, TickBounds,
};
use crate::domain::{
    Audience, Change, Cursor, Epoch, JsonText, LogId, Micros, ModuleName, Op, Position,
};

/// A row whose columns are integers and texts.
pub(super) trait Columns {
    fn integer(&self, column: usize) -> sqlx::Result<i64>;
    fn text(&self, column: usize) -> sqlx::Result<&str>;
    fn optional_integer(&self, column: usize) -> sqlx::Result<Option<i64>>;
    fn optional_text(&self, column: usize) -> sqlx::Result<Option<&str>>;
}

impl<R> Columns for R
where
    R: Row,
    usize: ColumnIndex<R>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> &'r str: Decode<'r, R::Database> + Type<R::Database>,
{
    fn integer(&self, column: usize) -> sqlx::Result<i64> {
        self.try_get(column)
    }

    fn optional_integer(&self, column: usize) -> sqlx::Result<Option<i64>> {
        self.try_get(column)
    }

    fn text(&self, column: usize) -> sqlx::Result<&str> {
        self.try_get(column)
    }

    fn optional_text(&self, column: usize) -> sqlx::Result<Option<&str>> {
        self.try_get(column)
    }
}

/// The database's own identity.
pub(super) fn log_id(text: &str) -> Result<LogId> {
    text.parse().map_err(|error| Error::Corrupt {
        table: "log_identity",
        what: format!("id: {error}"),
    })
}

/// `position, epoch, audience, entity_key, op, value, change_id, previous, occurred_at,
/// sequenced_at`, from column `first` on.
pub(super) fn change(row: &impl Columns, first: usize) -> sqlx::Result<Change> {
    Ok(Change {
        position: Position::from_i64(row.integer(first)?),
        epoch: epoch(row.integer(first + 1)?),
        audience: Audience::stored(row.text(first + 2)?),
        key: row.text(first + 3)?.into(),
        op: op(row.text(first + 4)?)?,
        value: JsonText::stored(row.text(first + 5)?),
        change_id: row.optional_text(first + 6)?.map(Into::into),
        previous: Position::from_i64(row.integer(first + 7)?),
        occurred_at: Micros::new(row.integer(first + 8)?),
        sequenced_at: Micros::new(row.integer(first + 9)?),
    })
}

/// `module`, then the columns of [`change`]. Rows of one module share its name.
pub(super) fn module_changes(
    rows: &[impl Columns],
) -> sqlx::Result<Vec<(ModuleName, Arc<Change>)>> {
    let mut found: Vec<(ModuleName, Arc<Change>)> = Vec::with_capacity(rows.len());
    for row in rows {
        let name = row.text(0)?;
        let module = match found.last() {
            Some((last, _)) if last.as_str() == name => last.clone(),
            _ => module(name)?,
        };
        found.push((module, Arc::new(change(row, 1)?)));
    }
    Ok(found)
}

/// `audience, entity_key, op, position, value`.
pub(super) fn state_item(row: &impl Columns) -> sqlx::Result<StateItem> {
    Ok(StateItem {
        audience: Audience::stored(row.text(0)?),
        key: row.text(1)?.into(),
        op: op(row.text(2)?)?,
        position: Position::from_i64(row.integer(3)?),
        value: JsonText::stored(row.text(4)?),
    })
}

/// `audience, entity_key, op, position, value, sequenced_at`.
pub(super) fn timed_state_item(row: &impl Columns) -> sqlx::Result<(Micros, StateItem)> {
    Ok((Micros::new(row.integer(5)?), state_item(row)?))
}

/// `module, epoch, head, sequenced_through, now`.
pub(super) fn closed(row: &impl Columns) -> sqlx::Result<Closed> {
    Ok(Closed {
        module: module(row.text(0)?)?,
        epoch: epoch(row.integer(1)?),
        head: Position::from_i64(row.integer(2)?),
        through: Micros::new(row.integer(3)?),
        now: Micros::new(row.integer(4)?),
    })
}

/// `epoch, retained_from, head, lost_through, the oldest row's sequenced_at, the first position from the tick on`. A
/// module without a head row has an empty log.
pub(super) fn tick_bounds(row: Option<&impl Columns>) -> sqlx::Result<TickBounds> {
    let Some(row) = row else {
        return Ok(TickBounds {
            epoch: Epoch::FIRST,
            retained_from: Position::ZERO.next(),
            after: Position::ZERO,
            oldest: None,
            lost_through: Micros::default(),
        });
    };
    let head = Position::from_i64(row.integer(2)?);
    let first = row.optional_integer(5)?.map(Position::from_i64);
    Ok(TickBounds {
        epoch: epoch(row.integer(0)?),
        retained_from: Position::from_i64(row.integer(1)?),
        after: first.map_or(head, Position::before),
        oldest: row.optional_integer(4)?.map(Micros::new),
        lost_through: Micros::new(row.integer(3)?),
    })
}

/// `module, epoch, head, retained_from, sequenced_through, lease_holder, lease_expires_at, now,
/// compacted_through, stateless_from`.
pub(super) fn head(row: &impl Columns) -> sqlx::Result<Head> {
    let lease_holder = row.optional_text(5)?.map(str::to_owned);
    Ok(Head {
        module: module(row.text(0)?)?,
        epoch: epoch(row.integer(1)?),
        head: Position::from_i64(row.integer(2)?),
        retained_from: Position::from_i64(row.integer(3)?),
        compacted_through: Position::from_i64(row.integer(8)?),
        stateless_from: Some(Position::from_i64(row.integer(9)?))
            .filter(|from| *from > Position::ZERO),
        sequenced_through: Micros::new(row.integer(4)?),
        lease_vacant: lease_holder.is_none() || row.integer(6)? <= row.integer(7)?,
        lease_holder,
    })
}

/// `module, epoch, head, retained_from, sequenced_through`.
pub(super) fn fenced_head(row: &impl Columns) -> sqlx::Result<FencedHead> {
    Ok(FencedHead {
        module: module(row.text(0)?)?,
        epoch: epoch(row.integer(1)?),
        head: Position::from_i64(row.integer(2)?),
        retained_from: Position::from_i64(row.integer(3)?),
        sequenced_through: Micros::new(row.integer(4)?),
    })
}

/// `module, lease_token`; in the order of `modules`, without those that no row names.
pub(super) fn leases<'a>(
    rows: &[impl Columns],
    modules: impl IntoIterator<Item = &'a ModuleName>,
) -> Result<Vec<Lease>> {
    let token =
        |row| -> sqlx::Result<_> { Ok((Columns::text(row, 0)?, Columns::integer(row, 1)?)) };
    let tokens: HashMap<&str, i64> = rows
        .iter()
        .map(token)
        .collect::<sqlx::Result<_>>()
        .map_err(Error::Unexpected)?;
    let lease = |module: &ModuleName| {
        let token = *tokens.get(module.as_str())?;
        Some(Lease {
            module: module.clone(),
            token,
        })
    };
    Ok(modules.into_iter().filter_map(lease).collect())
}

/// `id, run, since, heartbeat, expires_at, embedded, holds, wants, now`, from column `first` on.
pub(super) fn instance(row: &impl Columns, first: usize) -> sqlx::Result<Instance> {
    let wants = row.text(first + 7)?.split_ascii_whitespace();
    Ok(Instance {
        name: row.text(first)?.to_owned(),
        run: row.integer(first + 1)?,
        since: Some(Micros::new(row.integer(first + 2)?)).filter(|since| since.get() > 0),
        heartbeat: Micros::new(row.integer(first + 3)?),
        alive: row.integer(first + 4)? > row.integer(first + 8)?,
        embedded: row.optional_text(first + 5)?.map(str::to_owned),
        holds: usize::try_from(row.integer(first + 6)?).unwrap_or_default(),
        wants: wants.map(module).collect::<sqlx::Result<_>>()?,
    })
}

/// `module, epoch, position, generation, version`.
pub(super) fn mirror_cursor(row: &impl Columns) -> sqlx::Result<MirrorCursor> {
    Ok(MirrorCursor {
        module: module(row.text(0)?)?,
        cursor: Cursor::new(epoch(row.integer(1)?), Position::from_i64(row.integer(2)?)),
        generation: row.integer(3)?.unsigned_abs(),
        version: row.integer(4)?,
    })
}

/// `module, epoch, position, generation, version, retired_at`.
pub(super) fn target_cursor(row: &impl Columns) -> sqlx::Result<TargetCursor> {
    Ok(TargetCursor {
        row: mirror_cursor(row)?,
        retired_at: Micros::new(row.integer(5)?),
    })
}

/// `target, standing, version, changed_by, changed_at, reason`.
pub(super) fn target_record(row: &impl Columns) -> sqlx::Result<TargetRecord> {
    Ok(TargetRecord {
        target: row.text(0)?.to_owned(),
        standing: row.text(1)?.parse().map_err(decode)?,
        version: row.integer(2)?,
        changed_by: row.text(3)?.to_owned(),
        changed_at: Micros::new(row.integer(4)?),
        reason: row.text(5)?.to_owned(),
    })
}

/// A module's name as stored.
pub(super) fn module(name: &str) -> sqlx::Result<ModuleName> {
    name.parse().map_err(decode)
}

/// An epoch as stored; what does not fit was never written by this program.
pub(super) fn epoch(number: i64) -> Epoch {
    u32::try_from(number).map_or(Epoch::FIRST, Epoch::new)
}

fn op(word: &str) -> sqlx::Result<Op> {
    word.parse().map_err(decode)
}

fn decode(error: crate::domain::Invalid) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// What is kept as JSON text in a column of `table`.
pub(super) fn json_text(table: &'static str, value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Corrupt {
        table,
        what: format!("a value that cannot be written as JSON: {error}"),
    })
}
