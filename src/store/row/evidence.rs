//! How mirrors stand, and what verifiers found.

use std::time::Duration;

use super::{Columns, module};
use crate::{
    domain::Micros,
    store::{Findings, MirrorFact, SeenFact, VerifierPeriod},
};

/// `target, module, connected, trouble, behind, lag, halted, seen_at`.
pub(in crate::store) fn seen_fact(row: &impl Columns) -> sqlx::Result<SeenFact> {
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
pub(in crate::store) fn verifier_period(row: &impl Columns) -> sqlx::Result<VerifierPeriod> {
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
