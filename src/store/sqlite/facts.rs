//! The facts of the mirror on SQLite.

use async_trait::async_trait;

use super::{SqliteStore, error::failed, json};
use crate::{
    domain::{Micros, ModuleName},
    store::{
        Error, Facts, KnownFacts, Lease, MirrorFact, Result, VerifierPeriod,
        facts::{as_column, plain, span_column},
        row,
    },
    telemetry::{Purpose, count_query},
};

/// Nobody else writes now: the lease holds as long as the statement.
const WRITE: &str = "\
    INSERT INTO mirror_fact (module, token, target, connected, trouble, behind, lag, halted, seen_at) \
    SELECT g.value->>0, g.value->>1, g.value->>2, g.value->>3, g.value->>4, g.value->>5, g.value->>6, g.value->>7, ?2 \
    FROM json_each(?1) g \
    JOIN module_head h ON h.module = g.value->>0 AND h.lease_token = g.value->>1 \
    WHERE true \
    ON CONFLICT (target, module) DO UPDATE \
    SET token = excluded.token, connected = excluded.connected, trouble = excluded.trouble, behind = excluded.behind, \
        lag = excluded.lag, halted = excluded.halted, seen_at = excluded.seen_at";

const WRITE_PERIODS: &str = "\
    INSERT INTO verifier_period (module, token, target, began_at, ended_at, listened, ok, missing, duplicate, reordered, \
        previous, late, outsider, unobserved) \
    SELECT g.value->>0, g.value->>1, g.value->>2, g.value->>3, g.value->>4, g.value->>5, g.value->>6, g.value->>7, \
        g.value->>8, g.value->>9, g.value->>10, g.value->>11, g.value->>12, g.value->>13 \
    FROM json_each(?1) g \
    JOIN module_head h ON h.module = g.value->>0 AND h.lease_token = g.value->>1 \
    WHERE true \
    ON CONFLICT (module, target, began_at, token) DO UPDATE \
    SET ended_at = excluded.ended_at, listened = excluded.listened, ok = excluded.ok, missing = excluded.missing, \
        duplicate = excluded.duplicate, reordered = excluded.reordered, previous = excluded.previous, \
        late = excluded.late, outsider = excluded.outsider, unobserved = excluded.unobserved";

const FACTS: &str = "\
    SELECT target, module, connected, trouble, behind, lag, halted, seen_at FROM mirror_fact \
    WHERE module = ?1 ORDER BY target";

const PERIODS: &str = "\
    SELECT target, module, began_at, max(ended_at), sum(listened), sum(ok), sum(missing), sum(duplicate), sum(reordered), \
        sum(previous), sum(late), sum(outsider), sum(unobserved) \
    FROM verifier_period WHERE module = ?1 AND ended_at > ?2 \
    GROUP BY target, module, began_at ORDER BY target, began_at";

const FORGET_PERIODS: &str = "\
    DELETE FROM verifier_period WHERE rowid IN \
        (SELECT rowid FROM verifier_period WHERE began_at < ?1 ORDER BY began_at LIMIT ?2)";

const FORGET: &str = "\
    DELETE FROM mirror_fact WHERE rowid IN (SELECT rowid FROM mirror_fact WHERE seen_at < ?1 LIMIT ?2)";

const COUNT: &str = "SELECT count(*) FROM audit WHERE module = ?1 AND action = ?2 AND at >= ?3";

#[async_trait]
impl Facts for SqliteStore {
    async fn write_facts(
        &self,
        facts: &[(Lease, MirrorFact)],
        periods: &[(Lease, VerifierPeriod)],
    ) -> Result<Micros> {
        let doing = "writing facts of the mirror";
        let mut writing = self.begin_ordinary(doing).await?;
        let now = Self::now();
        count_query(Purpose::Flags);
        let rows: Vec<_> = facts.iter().map(fact_columns).collect();
        let write = sqlx::query(WRITE).bind(json::text(&rows)).bind(now.get());
        let write = write.execute(writing.connection()).await;
        write.map_err(failed(doing))?;
        if !periods.is_empty() {
            count_query(Purpose::Flags);
            let rows: Vec<_> = periods.iter().map(period_columns).collect();
            let write = sqlx::query(WRITE_PERIODS).bind(json::text(&rows));
            let write = write.execute(writing.connection()).await;
            write.map_err(failed(doing))?;
        }
        writing.commit(doing).await?;
        Ok(now)
    }

    async fn facts(&self, module: &ModuleName) -> Result<KnownFacts> {
        let doing = "reading facts of the mirror";
        count_query(Purpose::Flags);
        let select = sqlx::query(FACTS).bind(module.as_str());
        let rows = select
            .fetch_all(&self.readers)
            .await
            .map_err(failed(doing))?;
        let targets: sqlx::Result<_> = rows.iter().map(row::seen_fact).collect();
        Ok(KnownFacts {
            now: Self::now(),
            targets: targets.map_err(Error::Unexpected)?,
        })
    }

    async fn verifier_periods(
        &self,
        module: &ModuleName,
        after: Micros,
    ) -> Result<Vec<VerifierPeriod>> {
        let doing = "reading what verifiers found";
        count_query(Purpose::Flags);
        let select = sqlx::query(PERIODS).bind(module.as_str()).bind(after.get());
        let rows = select
            .fetch_all(&self.readers)
            .await
            .map_err(failed(doing))?;
        let periods: sqlx::Result<_> = rows.iter().map(row::verifier_period).collect();
        periods.map_err(Error::Unexpected)
    }

    async fn forget_facts(&self, before: Micros, most: u32) -> Result<u64> {
        let doing = "forgetting facts of the mirror";
        let mut writing = self.begin_ordinary(doing).await?;
        let mut forgotten = 0;
        for statement in [FORGET_PERIODS, FORGET] {
            count_query(Purpose::Flags);
            let delete = sqlx::query(statement).bind(before.get()).bind(most);
            let done = delete.execute(writing.connection()).await;
            forgotten += done.map_err(failed(doing))?.rows_affected();
        }
        writing.commit(doing).await?;
        Ok(forgotten)
    }

    async fn count_acts(&self, module: &ModuleName, action: &str, since: Micros) -> Result<u64> {
        count_query(Purpose::Flags);
        let select = sqlx::query_scalar(COUNT)
            .bind(module.as_str())
            .bind(action)
            .bind(since.get())
            .fetch_one(&self.readers);
        let count: i64 = select.await.map_err(failed("counting acts"))?;
        Ok(count.unsigned_abs())
    }
}

type FactColumns<'a> = (
    &'a str,
    i64,
    &'a str,
    i64,
    Option<String>,
    i64,
    Option<i64>,
    Option<String>,
);

fn fact_columns((lease, fact): &(Lease, MirrorFact)) -> FactColumns<'_> {
    (
        lease.module.as_str(),
        lease.token,
        &fact.target,
        fact.connected.into(),
        plain(fact.trouble.as_deref()),
        as_column(fact.behind),
        fact.lag.map(span_column),
        plain(fact.halted.as_deref()),
    )
}

fn period_columns((lease, period): &(Lease, VerifierPeriod)) -> Vec<serde_json::Value> {
    let counts = period.found.columns().map(Into::into);
    let mut columns: Vec<serde_json::Value> = vec![
        lease.module.as_str().into(),
        lease.token.into(),
        period.target.as_str().into(),
        period.began_at.get().into(),
        period.ended_at.get().into(),
        span_column(period.listened).into(),
    ];
    columns.extend(counts);
    columns
}
