//! What engineers asked for, and the audit of it.

use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};

use crate::{
    domain::{End, Micros, Routing},
    store::{AuditEntry, Entered, Error, Result, StageRecord, StagesRead, Unreadable, stages},
};

/// A row of `module_stage`.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::store) struct StoredStage {
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
    entered_version: Option<i64>,
    forced: Option<String>,
}

/// What of the rows of `module_stage` can be read, each by itself.
pub(in crate::store) fn stages_read<R>(rows: &[R]) -> StagesRead
where
    R: Row,
    for<'r> StoredStage: FromRow<'r, R>,
    for<'c> &'c str: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
{
    let mut read = StagesRead::default();
    for row in rows {
        let stored = StoredStage::from_row(row).map_err(Error::Unexpected);
        match stored.and_then(TryInto::try_into) {
            Ok(record) => read.records.push(record),
            Err(error) => {
                let module = row.try_get("module").unwrap_or_default();
                read.unreadable.push(Unreadable { module, error });
            }
        }
    }
    read
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
        // Else a replica of before has acted since, and left it as it was: nobody knows since when the module is here, but not for longer than
        // since an act.
        let is_of_last_act = row.entered_version == Some(row.version);
        let entered_at = row.entered_at.filter(|_| is_of_last_act);
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
                at: entered_at.map_or(changed_at, Micros::new),
                forced: stages::forced(row.forced.as_deref(), stage)
                    .map_err(|error| corrupt(format!("a step that cannot be read ({error})")))?,
            },
        })
    }
}

/// A row of `audit`.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::store) struct StoredAudit {
    id: i64,
    module: Option<String>,
    actor: String,
    action: String,
    before: String,
    after: String,
    reason: String,
    at: i64,
}

impl TryFrom<StoredAudit> for AuditEntry {
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
