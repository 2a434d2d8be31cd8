//! From columns to changes and state, the same for every database.
//!
//! Invariant: the statements of each database name the columns in the order that stands here.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sqlx::{ColumnIndex, Decode, Row, Type};

use super::{
    Busiest, Closed, Entered, Error, FencedHead, Findings, Head, Instance, Lease, MirrorCursor,
    MirrorFact, PanicRecord, Result, SeenFact, StageRecord, StateItem, TargetCursor, TargetRecord,
    TickBounds, VerifierPeriod, panics::ALL, stages, target_step::TargetSurvey,
    targets::TargetHead, usage,
};
use crate::{
    domain::{
        Audience, Change, Cursor, End, Epoch, JsonText, Micros, ModuleName, Op, Position, Routing,
    },
    telemetry::usage::{Counts, UsageSum},
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

/// `module, version, actor, reason, since, lifted_at`.
pub(super) fn panic_record(row: &impl Columns) -> sqlx::Result<PanicRecord> {
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

/// `module, epoch, head, retained_from, lease_token` of all modules; the records of all targets; the cursors of one.
pub(super) fn target_survey<R: Columns>(
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

/// As the sums of `usage_hourly` are selected.
pub(super) fn usage_sum(row: &impl Columns) -> sqlx::Result<UsageSum> {
    let count = |column| row.integer(column).map(i64::unsigned_abs);
    Ok(UsageSum {
        module: row.text(0)?.to_owned(),
        transport: usage::transport(row.text(1)?).map_err(decode)?,
        counted: Duration::from_micros(count(2)?),
        from: Micros::new(row.integer(3)?),
        to: Micros::new(row.integer(4)?),
        counts: Counts {
            requests: count(5)?,
            idle: count(6)?,
            memory: count(7)?,
            refused: count(8)?,
            statements: count(9)?,
            bytes: count(10)?,
            messages: count(11)?,
            payloads: count(12)?,
        },
        busiest_requests: count(13)?,
        last_asked: row.optional_integer(14)?.map(Micros::new),
    })
}

/// The most requests of an hour, the most statements. Without hours both are absent.
pub(super) fn busiest(row: &impl Columns) -> sqlx::Result<Busiest> {
    let count = |column| -> sqlx::Result<u64> {
        Ok(row.optional_integer(column)?.unwrap_or(0).unsigned_abs())
    };
    Ok(Busiest {
        requests: count(0)?,
        statements: count(1)?,
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

/// `target, module, connected, trouble, behind, lag, halted, seen_at`.
pub(super) fn seen_fact(row: &impl Columns) -> sqlx::Result<SeenFact> {
    let lag = row.optional_integer(5)?;
    Ok(SeenFact {
        fact: MirrorFact {
            target: row.text(0)?.to_owned(),
            module: module(row.text(1)?)?,
            connected: row.integer(2)? != 0,
            trouble: row.optional_text(3)?.map(str::to_owned),
            behind: count(row.integer(4)?),
            lag: lag.map(|micros| Duration::from_micros(count(micros))),
            halted: row.optional_text(6)?.map(str::to_owned),
        },
        at: Micros::new(row.integer(7)?),
    })
}

/// `target, module, began_at, ended_at, listened`, then the counts in the order of [`Findings`].
pub(super) fn verifier_period(row: &impl Columns) -> sqlx::Result<VerifierPeriod> {
    let counted = |column| row.integer(column).map(count);
    Ok(VerifierPeriod {
        target: row.text(0)?.to_owned(),
        module: module(row.text(1)?)?,
        began_at: Micros::new(row.integer(2)?),
        ended_at: Micros::new(row.integer(3)?),
        listened: Duration::from_micros(counted(4)?),
        found: Findings {
            ok: counted(5)?,
            missing: counted(6)?,
            duplicate: counted(7)?,
            reordered: counted(8)?,
            previous: counted(9)?,
            late: counted(10)?,
            foreign: counted(11)?,
            unobserved: counted(12)?,
        },
    })
}

fn count(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or_default()
}

/// A row of `module_stage`.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct StoredStage {
    module: String,
    stage: String,
    cohort: String,
    routing: Option<String>,
    ending: Option<String>,
    paused: bool,
    version: i64,
    changed_by: String,
    changed_at: i64,
    reason: String,
    entered_at: Option<i64>,
    forced: Option<String>,
}

impl TryFrom<StoredStage> for StageRecord {
    type Error = Error;

    fn try_from(row: StoredStage) -> Result<Self> {
        let corrupt = |what: String| Error::Corrupt {
            table: "module_stage",
            what: format!("{what} in the row of `{}`", row.module.escape_debug()),
        };
        let stage = row
            .stage
            .parse()
            .map_err(|error| corrupt(format!("a {error}")))?;
        let changed_at = Micros::new(row.changed_at);
        Ok(Self {
            module: row
                .module
                .parse()
                .map_err(|_invalid| corrupt("a bad module name".to_owned()))?,
            stage,
            cohort: serde_json::from_str(&row.cohort)
                .map_err(|error| corrupt(format!("a cohort that cannot be read ({error})")))?,
            routing: row
                .routing
                .as_deref()
                .map_or_else(|| Ok(Routing::default()), serde_json::from_str)
                .map_err(|error| corrupt(format!("a routing that cannot be read ({error})")))?,
            ending: row
                .ending
                .as_deref()
                .map_or_else(|| Ok(End::default()), serde_json::from_str)
                .map_err(|error| corrupt(format!("an ending that cannot be read ({error})")))?,
            paused: row.paused,
            version: row.version,
            changed_by: row.changed_by,
            changed_at,
            reason: row.reason,
            entered: Entered {
                at: row.entered_at.map_or(changed_at, Micros::new),
                forced: stages::forced(row.forced.as_deref(), stage)
                    .map_err(|error| corrupt(format!("a step that cannot be read ({error})")))?,
            },
        })
    }
}

/// A row of `audit`.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct StoredAudit {
    id: i64,
    module: Option<String>,
    actor: String,
    action: String,
    before: String,
    after: String,
    reason: String,
    at: i64,
}

impl TryFrom<StoredAudit> for super::AuditEntry {
    type Error = Error;

    fn try_from(row: StoredAudit) -> Result<Self> {
        let json = |text: &str| {
            serde_json::from_str(text).map_err(|error| Error::Corrupt {
                table: "audit",
                what: format!("JSON that cannot be read ({error}) in row {}", row.id),
            })
        };
        Ok(Self {
            before: json(&row.before)?,
            after: json(&row.after)?,
            id: row.id,
            module: row.module,
            actor: row.actor,
            action: row.action,
            reason: row.reason,
            at: Micros::new(row.at),
        })
    }
}

/// What is kept as JSON text in a column of `table`.
pub(super) fn json_text(table: &'static str, value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Corrupt {
        table,
        what: format!("a value that cannot be written as JSON: {error}"),
    })
}
