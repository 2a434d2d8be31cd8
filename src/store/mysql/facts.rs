//! The facts of the mirror on MariaDB and MySQL.

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{
    MySqlStore,
    connection::{begin, commit},
    lease::{NOW, names},
    statement::{Statement, chunks, held, ready},
    stored::Stored,
};
use crate::{
    domain::{Micros, ModuleName},
    store::{
        Error, Facts, KnownFacts, Lease, MirrorFact, Result, VerifierPeriod,
        facts::{as_column, plain, span_column},
        row,
    },
    telemetry::{Purpose, count_query},
};

const WRITE: &str = "\
    INSERT INTO mirror_fact (target, module, connected, trouble, behind, lag, halted, token, seen_at) ";

const WRITE_OVER: &str = " ON DUPLICATE KEY UPDATE \
    connected = VALUES(connected), trouble = VALUES(trouble), behind = VALUES(behind), lag = VALUES(lag), \
    halted = VALUES(halted), token = VALUES(token), seen_at = VALUES(seen_at)";

const WRITE_PERIODS: &str = "\
    INSERT INTO verifier_period (target, module, began_at, token, ended_at, listened, ok, missing, duplicate, reordered, \
        previous, late, outsider, unobserved) ";

const WRITE_PERIODS_OVER: &str = " ON DUPLICATE KEY UPDATE \
    ended_at = VALUES(ended_at), listened = VALUES(listened), ok = VALUES(ok), missing = VALUES(missing), \
    duplicate = VALUES(duplicate), reordered = VALUES(reordered), previous = VALUES(previous), late = VALUES(late), \
    outsider = VALUES(outsider), unobserved = VALUES(unobserved)";

const FACTS: &str = "\
    SELECT target, module, connected, trouble, behind, lag, halted, seen_at FROM mirror_fact \
    WHERE module = ? ORDER BY target";

const PERIODS: &str = "\
    SELECT target, module, began_at, MAX(ended_at), CAST(SUM(listened) AS SIGNED), CAST(SUM(ok) AS SIGNED), \
        CAST(SUM(missing) AS SIGNED), CAST(SUM(duplicate) AS SIGNED), CAST(SUM(reordered) AS SIGNED), \
        CAST(SUM(previous) AS SIGNED), CAST(SUM(late) AS SIGNED), CAST(SUM(outsider) AS SIGNED), \
        CAST(SUM(unobserved) AS SIGNED) \
    FROM verifier_period WHERE module = ? AND ended_at > ? \
    GROUP BY target, module, began_at ORDER BY target, began_at";

const FORGET_PERIODS: &str =
    "DELETE FROM verifier_period WHERE began_at < ? ORDER BY began_at LIMIT ?";

const FORGET: &str = "DELETE FROM mirror_fact WHERE seen_at < ? LIMIT ?";

const COUNT: &str = "SELECT COUNT(*) FROM audit WHERE module = ? AND action = ? AND at >= ?";

#[async_trait]
impl Facts for MySqlStore {
    async fn write_facts(
        &self,
        facts: &[(Lease, MirrorFact)],
        periods: &[(Lease, VerifierPeriod)],
    ) -> Result<Micros> {
        let doing = "writing facts of the mirror";
        let mut borrowed = self.borrow(doing).await?;
        // The head rows are locked: half a lease bounds the whole, as it does for numbering.
        let write = in_transaction(borrowed.connection(), facts, periods);
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
        let rows = Stored::all(rows);
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
        let rows = Stored::all(rows);
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

async fn now(connection: &mut MySqlConnection) -> sqlx::Result<Micros> {
    count_query(Purpose::Flags);
    let mut clock = Statement::new("SELECT ");
    clock.push(NOW);
    let now: i64 = clock.build_query_scalar().fetch_one(connection).await?;
    Ok(Micros::new(now))
}

async fn in_transaction(
    connection: &mut MySqlConnection,
    facts: &[(Lease, MirrorFact)],
    periods: &[(Lease, VerifierPeriod)],
) -> sqlx::Result<Micros> {
    begin(connection).await?;
    let leases = facts.iter().map(|(lease, _)| lease);
    let mut leases: Vec<&Lease> = leases.chain(periods.iter().map(|(l, _)| l)).collect();
    leases.sort_unstable_by_key(|lease| (&lease.module, lease.token));
    leases.dedup();
    let held = fence(connection, &leases).await?;
    let holds = |lease: &Lease| held.iter().any(|name| name == lease.module.as_str());
    let facts: Vec<_> = facts.iter().filter(|(lease, _)| holds(lease)).collect();
    for chunk in chunks(&facts, |_| FACT_BYTES) {
        write_facts(connection, chunk).await?;
    }
    let periods: Vec<_> = periods.iter().filter(|(lease, _)| holds(lease)).collect();
    for chunk in chunks(&periods, |_| FACT_BYTES) {
        write_periods(connection, chunk).await?;
    }
    let now = now(connection).await?;
    commit(connection).await?;
    Ok(now)
}

/// What a row takes of a statement, at most: its reasons are sentences.
const FACT_BYTES: usize = 8 * 1024;

/// SHARE: as a cursor's write, it waits for numbering and not for other targets; a new holder waits for it.
async fn fence(connection: &mut MySqlConnection, leases: &[&Lease]) -> sqlx::Result<Vec<String>> {
    if leases.is_empty() {
        return Ok(Vec::new());
    }
    count_query(Purpose::Flags);
    let mut select = Statement::new("SELECT module FROM module_head FORCE INDEX (PRIMARY) WHERE ");
    held(&mut select, leases.iter().copied());
    select.push(" ORDER BY module LOCK IN SHARE MODE");
    let rows = ready(&mut select, leases.len())
        .fetch_all(connection)
        .await?;
    names(&Stored::all(rows))
}

async fn write_facts(
    connection: &mut MySqlConnection,
    facts: &[&(Lease, MirrorFact)],
) -> sqlx::Result<()> {
    count_query(Purpose::Flags);
    let mut insert = Statement::new(WRITE);
    insert.push_values(facts, |mut columns, (lease, fact)| {
        columns
            .push_bind(&fact.target)
            .push_bind(lease.module.as_str())
            .push_bind(i64::from(fact.connected))
            .push_bind(plain(fact.trouble.as_deref()))
            .push_bind(as_column(fact.behind))
            .push_bind(fact.lag.map(span_column))
            .push_bind(plain(fact.halted.as_deref()))
            .push_bind(lease.token)
            .push(NOW);
    });
    insert.push(WRITE_OVER);
    let write = ready(&mut insert, facts.len());
    write.execute(connection).await?;
    Ok(())
}

async fn write_periods(
    connection: &mut MySqlConnection,
    periods: &[&(Lease, VerifierPeriod)],
) -> sqlx::Result<()> {
    count_query(Purpose::Flags);
    let mut insert = Statement::new(WRITE_PERIODS);
    insert.push_values(periods, |mut columns, (lease, period)| {
        columns
            .push_bind(&period.target)
            .push_bind(lease.module.as_str())
            .push_bind(period.began_at.get())
            .push_bind(lease.token)
            .push_bind(period.ended_at.get())
            .push_bind(span_column(period.listened));
        for count in period.found.columns() {
            columns.push_bind(count);
        }
    });
    insert.push(WRITE_PERIODS_OVER);
    let write = ready(&mut insert, periods.len());
    write.execute(connection).await?;
    Ok(())
}
