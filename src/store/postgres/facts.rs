//! The facts of the mirror on PostgreSQL.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{PostgresStore, lease::columns};
use crate::{
    domain::{Micros, ModuleName},
    store::{
        Error, Facts, KnownFacts, Lease, MirrorFact, Result, VerifierPeriod,
        facts::{as_column, plain, span_column},
        row,
    },
    telemetry::{Purpose, count_query},
};

/// SHARE: as a cursor's write, it waits for numbering and not for other targets; a new holder waits for it.
const WRITE: &str = "\
    WITH held AS ( \
        SELECT h.module FROM module_head h \
        JOIN unnest($1::text[], $2::bigint[]) AS l(module, token) ON h.module = l.module AND h.lease_token = l.token \
        ORDER BY h.module FOR SHARE OF h \
    ) \
    INSERT INTO mirror_fact (module, token, target, connected, trouble, behind, lag, halted, seen_at) \
    SELECT g.*, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint \
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::text[]) \
        AS g(module, token, target, connected, trouble, behind, lag, halted) \
    WHERE g.module IN (SELECT module FROM held) \
    ON CONFLICT (target, module) DO UPDATE \
    SET token = excluded.token, connected = excluded.connected, trouble = excluded.trouble, behind = excluded.behind, \
        lag = excluded.lag, halted = excluded.halted, seen_at = excluded.seen_at";

/// The counts of a row stand one after the other in the last parameter.
const WRITE_PERIODS: &str = "\
    WITH held AS ( \
        SELECT h.module FROM module_head h \
        JOIN unnest($1::text[], $2::bigint[]) AS l(module, token) ON h.module = l.module AND h.lease_token = l.token \
        ORDER BY h.module FOR SHARE OF h \
    ) \
    INSERT INTO verifier_period (module, token, target, began_at, ended_at, listened, ok, missing, duplicate, reordered, \
        previous, late, outsider, unobserved) \
    SELECT g.module, g.token, g.target, g.began_at, g.ended_at, g.listened, \
        f[n * 8 - 7], f[n * 8 - 6], f[n * 8 - 5], f[n * 8 - 4], f[n * 8 - 3], f[n * 8 - 2], f[n * 8 - 1], f[n * 8] \
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[]) WITH ORDINALITY \
        AS g(module, token, target, began_at, ended_at, listened, n), (SELECT $7::bigint[] AS f) AS found \
    WHERE g.module IN (SELECT module FROM held) \
    ON CONFLICT (module, target, began_at, token) DO UPDATE \
    SET ended_at = excluded.ended_at, listened = excluded.listened, ok = excluded.ok, missing = excluded.missing, \
        duplicate = excluded.duplicate, reordered = excluded.reordered, previous = excluded.previous, \
        late = excluded.late, outsider = excluded.outsider, unobserved = excluded.unobserved";

const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

const FACTS: &str = "\
    SELECT target, module, connected, trouble, behind, lag, halted, seen_at FROM mirror_fact \
    WHERE module = $1 ORDER BY target";

const PERIODS: &str = "\
    SELECT target, module, began_at, max(ended_at), sum(listened)::bigint, sum(ok)::bigint, sum(missing)::bigint, \
        sum(duplicate)::bigint, sum(reordered)::bigint, sum(previous)::bigint, sum(late)::bigint, \
        sum(outsider)::bigint, sum(unobserved)::bigint \
    FROM verifier_period WHERE module = $1 AND ended_at > $2 \
    GROUP BY target, module, began_at ORDER BY target, began_at";

const FORGET_PERIODS: &str = "\
    DELETE FROM verifier_period WHERE ctid = ANY (ARRAY \
        (SELECT ctid FROM verifier_period WHERE began_at < $1 ORDER BY began_at LIMIT $2))";

const FORGET: &str = "\
    DELETE FROM mirror_fact WHERE ctid = ANY (ARRAY (SELECT ctid FROM mirror_fact WHERE seen_at < $1 LIMIT $2))";

const COUNT: &str = "SELECT count(*) FROM audit WHERE module = $1 AND action = $2 AND at >= $3";

#[async_trait]
impl Facts for PostgresStore {
    async fn write_facts(
        &self,
        facts: &[(Lease, MirrorFact)],
        periods: &[(Lease, VerifierPeriod)],
    ) -> Result<Micros> {
        let doing = "writing facts of the mirror";
        let mut borrowed = self.borrow(doing).await?;
        // The head rows are locked: half a lease bounds the whole, as it does for numbering.
        let write = write(borrowed.connection(), facts, periods);
        let now = self.quick(doing, write).await?;
        borrowed.put_back();
        Ok(now)
    }

    async fn facts(&self, module: &ModuleName) -> Result<KnownFacts> {
        let doing = "reading facts of the mirror";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Flags);
        let select = sqlx::query(FACTS).bind(module.as_str());
        let rows = self
            .call(doing, select.fetch_all(borrowed.connection()))
            .await?;
        let now = self.call(doing, now(borrowed.connection())).await?;
        borrowed.put_back();
        let targets: sqlx::Result<_> = rows.iter().map(row::seen_fact).collect();
        Ok(KnownFacts {
            now,
            targets: targets.map_err(Error::Unexpected)?,
        })
    }

    async fn verifier_periods(
        &self,
        module: &ModuleName,
        after: Micros,
    ) -> Result<Vec<VerifierPeriod>> {
        let doing = "reading what verifiers found";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Flags);
        let select = sqlx::query(PERIODS).bind(module.as_str()).bind(after.get());
        let rows = self
            .call(doing, select.fetch_all(borrowed.connection()))
            .await?;
        borrowed.put_back();
        let periods: sqlx::Result<_> = rows.iter().map(row::verifier_period).collect();
        periods.map_err(Error::Unexpected)
    }

    async fn forget_facts(&self, before: Micros, most: u32) -> Result<u64> {
        let doing = "forgetting facts of the mirror";
        let mut borrowed = self.borrow(doing).await?;
        let mut forgotten = 0;
        for statement in [FORGET_PERIODS, FORGET] {
            count_query(Purpose::Flags);
            let delete = sqlx::query(statement)
                .bind(before.get())
                .bind(i64::from(most))
                .execute(borrowed.connection());
            forgotten += self.call(doing, delete).await?.rows_affected();
        }
        borrowed.put_back();
        Ok(forgotten)
    }

    async fn count_acts(&self, module: &ModuleName, action: &str, since: Micros) -> Result<u64> {
        let doing = "counting acts";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Flags);
        let select = sqlx::query_scalar(COUNT)
            .bind(module.as_str())
            .bind(action)
            .bind(since.get())
            .fetch_one(borrowed.connection());
        let count: i64 = self.call(doing, select).await?;
        borrowed.put_back();
        Ok(count.unsigned_abs())
    }
}

async fn now(connection: &mut PgConnection) -> sqlx::Result<Micros> {
    count_query(Purpose::Flags);
    let now: i64 = sqlx::query_scalar(NOW).fetch_one(connection).await?;
    Ok(Micros::new(now))
}

/// Each statement is a transaction of its own: neither depends on the other.
async fn write(
    connection: &mut PgConnection,
    facts: &[(Lease, MirrorFact)],
    periods: &[(Lease, VerifierPeriod)],
) -> sqlx::Result<Micros> {
    if !facts.is_empty() {
        write_facts(connection, facts).await?;
    }
    if !periods.is_empty() {
        write_periods(connection, periods).await?;
    }
    now(connection).await
}

async fn write_facts(
    connection: &mut PgConnection,
    facts: &[(Lease, MirrorFact)],
) -> sqlx::Result<()> {
    count_query(Purpose::Flags);
    let leases: Vec<Lease> = facts.iter().map(|(lease, _)| lease.clone()).collect();
    let (modules, tokens) = columns(&leases);
    let facts = || facts.iter().map(|(_, fact)| fact);
    let targets: Vec<&str> = facts().map(|fact| fact.target.as_str()).collect();
    let connected: Vec<i64> = facts().map(|fact| fact.connected.into()).collect();
    let trouble: Vec<_> = facts().map(|fact| plain(fact.trouble.as_deref())).collect();
    let behind: Vec<i64> = facts().map(|fact| as_column(fact.behind)).collect();
    let lag: Vec<_> = facts().map(|fact| fact.lag.map(span_column)).collect();
    let halted: Vec<_> = facts().map(|fact| plain(fact.halted.as_deref())).collect();
    sqlx::query(WRITE)
        .bind(&modules)
        .bind(&tokens)
        .bind(&targets)
        .bind(&connected)
        .bind(&trouble)
        .bind(&behind)
        .bind(&lag)
        .bind(&halted)
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_periods(
    connection: &mut PgConnection,
    periods: &[(Lease, VerifierPeriod)],
) -> sqlx::Result<()> {
    count_query(Purpose::Flags);
    let leases: Vec<Lease> = periods.iter().map(|(lease, _)| lease.clone()).collect();
    let (modules, tokens) = columns(&leases);
    let periods = || periods.iter().map(|(_, period)| period);
    let targets: Vec<&str> = periods().map(|period| period.target.as_str()).collect();
    let began_at: Vec<i64> = periods().map(|period| period.began_at.get()).collect();
    let ended_at: Vec<i64> = periods().map(|period| period.ended_at.get()).collect();
    let listened: Vec<i64> = periods()
        .map(|period| span_column(period.listened))
        .collect();
    let found: Vec<i64> = periods()
        .flat_map(|period| period.found.columns())
        .collect();
    sqlx::query(WRITE_PERIODS)
        .bind(&modules)
        .bind(&tokens)
        .bind(&targets)
        .bind(&began_at)
        .bind(&ended_at)
        .bind(&listened)
        .bind(&found)
        .execute(connection)
        .await?;
    Ok(())
}
