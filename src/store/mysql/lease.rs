//! Leases on MariaDB and MySQL. Updates return no rows there, so what was taken is locked first and told from that,
//! and what was renewed is told from the count, or from a second look. Every statement that locks names
//! the primary key: of a table this small the optimizer would rather lock all rows, other holders' among them.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{
    MySqlStore,
    connection::{begin, commit},
    statement::{Statement, held, list, ready},
    stored::Stored,
};
use crate::{
    domain::ModuleName,
    store::{Lease, Leases, Result, Share, lease::length_micros, row, row::Columns},
    telemetry::{Purpose, count_query},
};

/// The database's clock, in microseconds, whatever the session's time zone.
pub(super) const NOW: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))";

#[async_trait]
impl Leases for MySqlStore {
    async fn ensure_modules(&self, modules: &[ModuleName]) -> Result<()> {
        if modules.is_empty() {
            return Ok(());
        }
        let doing = "creating module heads";
        let mut seated = self.seated(doing).await?;
        self.quick(doing, ensure(seated.connection(), modules))
            .await?;
        seated.put_back();
        Ok(())
    }

    async fn acquire(
        &self,
        modules: &[ModuleName],
        holder: &str,
        lease: Duration,
        share: Share,
    ) -> Result<Vec<Lease>> {
        if modules.is_empty() {
            return Ok(Vec::new());
        }
        let doing = "acquiring leases";
        let mut seated = self.seated(doing).await?;
        let taken = self
            .quick(
                doing,
                acquire(seated.connection(), modules, holder, lease, share),
            )
            .await?;
        seated.put_back();
        row::leases(&taken, modules).map(|before| before.into_iter().map(next).collect())
    }

    async fn renew(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Lease>> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let doing = "renewing leases";
        let mut seated = self.seated(doing).await?;
        let renewed = self
            .quick(doing, renew(seated.connection(), leases, lease))
            .await?;
        let held = match renewed {
            renewed if renewed == leases.len() as u64 => leases.to_vec(),
            _ => {
                let still = self
                    .quick(doing, still_held(seated.connection(), leases))
                    .await?;
                let held = |lease: &&Lease| still.iter().any(|name| name == lease.module.as_str());
                leases.iter().filter(held).cloned().collect()
            }
        };
        seated.put_back();
        Ok(held)
    }

    async fn release(&self, leases: &[Lease]) -> Result<()> {
        if leases.is_empty() {
            return Ok(());
        }
        let doing = "giving leases back";
        let mut seated = self.seated(doing).await?;
        self.quick(doing, release(seated.connection(), leases))
            .await?;
        seated.put_back();
        Ok(())
    }

    async fn hand_over(&self, leases: &[Lease], to: &str, keep: Duration) -> Result<()> {
        if leases.is_empty() {
            return Ok(());
        }
        let doing = "handing leases over";
        let mut seated = self.seated(doing).await?;
        self.quick(doing, hand_over(seated.connection(), leases, to, keep))
            .await?;
        seated.put_back();
        Ok(())
    }
}

/// The lease that followed when the row of this one was taken.
fn next(before: Lease) -> Lease {
    Lease {
        token: before.token + 1,
        ..before
    }
}

/// A plain look first: an insert would wait for the locks of rows that are there.
async fn ensure(connection: &mut MySqlConnection, modules: &[ModuleName]) -> sqlx::Result<()> {
    count_query(Purpose::Lease);
    let mut select = Statement::new("SELECT module FROM module_head WHERE module IN (");
    list(&mut select, modules.iter().map(ModuleName::as_str));
    select.push(")");
    let there = ready(&mut select, modules.len());
    let there = names(&Stored::all(there.fetch_all(&mut *connection).await?))?;
    let missing = |module: &&ModuleName| !there.iter().any(|name| name == module.as_str());
    let missing: Vec<&ModuleName> = modules.iter().filter(missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    count_query(Purpose::Lease);
    let mut insert = Statement::new("INSERT INTO module_head (module) ");
    insert.push_values(&missing, |mut columns, module| {
        columns.push_bind(module.as_str());
    });
    // Another process may have made it in the meantime.
    insert.push(" ON DUPLICATE KEY UPDATE module = VALUES(module)");
    ready(&mut insert, missing.len())
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes what is free. Returns module and token as they were before.
async fn acquire(
    connection: &mut MySqlConnection,
    modules: &[ModuleName],
    holder: &str,
    lease: Duration,
    share: Share,
) -> sqlx::Result<Vec<Stored>> {
    // Most looks find nothing free, and such a look locks nothing.
    if free(connection, modules, holder, share, "")
        .await?
        .is_empty()
    {
        return Ok(Vec::new());
    }
    begin(connection).await?;
    // SKIP LOCKED: a row that somebody holds is not free, and waiting for it would hold up the others.
    let taken = free(
        connection,
        modules,
        holder,
        share,
        " FOR UPDATE SKIP LOCKED",
    )
    .await?;
    if !taken.is_empty() {
        count_query(Purpose::Lease);
        let mut update =
            Statement::new("UPDATE module_head FORCE INDEX (PRIMARY) SET lease_holder = ");
        update
            .push_bind(holder)
            .push(", lease_token = lease_token + 1, lease_expires_at = ")
            .push(NOW)
            .push(" + ")
            .push_bind(length_micros(lease))
            .push(" WHERE module IN (");
        list(&mut update, names(&taken)?.iter().map(String::as_str));
        update.push(")");
        ready(&mut update, taken.len())
            .execute(&mut *connection)
            .await?;
    }
    commit(connection).await?;
    Ok(taken)
}

async fn free(
    connection: &mut MySqlConnection,
    modules: &[ModuleName],
    holder: &str,
    share: Share,
    lock: &'static str,
) -> sqlx::Result<Vec<Stored>> {
    count_query(Purpose::Lease);
    let mut select = Statement::new(
        "SELECT module, lease_token FROM module_head FORCE INDEX (PRIMARY) WHERE module IN (",
    );
    list(&mut select, modules.iter().map(ModuleName::as_str));
    select
        .push(") AND (lease_holder IS NULL OR lease_holder = ")
        .push_bind(holder)
        .push(" OR lease_expires_at <= ")
        .push(NOW)
        .push(" - ")
        .push_bind(length_micros(share.overdue))
        .push(") ORDER BY lease_holder <=> ")
        .push_bind(holder)
        .push(" DESC, module LIMIT ")
        .push_bind(i64::from(share.most))
        .push(lock);
    let select = ready(&mut select, modules.len());
    Ok(Stored::all(select.fetch_all(connection).await?))
}

/// Returns how many still held: the driver asks the server for rows found, not for rows changed.
async fn renew(
    connection: &mut MySqlConnection,
    leases: &[Lease],
    lease: Duration,
) -> sqlx::Result<u64> {
    count_query(Purpose::Lease);
    let mut update =
        Statement::new("UPDATE module_head FORCE INDEX (PRIMARY) SET lease_expires_at = ");
    update
        .push(NOW)
        .push(" + ")
        .push_bind(length_micros(lease))
        .push(", sequenced_through = GREATEST(sequenced_through, ")
        .push(NOW)
        .push(") WHERE ");
    held(&mut update, leases);
    let done = ready(&mut update, leases.len()).execute(connection).await?;
    Ok(done.rows_affected())
}

/// The token grows, so that the one given back fences nothing any more.
async fn release(connection: &mut MySqlConnection, leases: &[Lease]) -> sqlx::Result<()> {
    count_query(Purpose::Lease);
    let mut update = Statement::new(
        "UPDATE module_head FORCE INDEX (PRIMARY) \
         SET lease_holder = NULL, lease_expires_at = 0, lease_token = lease_token + 1 WHERE ",
    );
    held(&mut update, leases);
    ready(&mut update, leases.len()).execute(connection).await?;
    Ok(())
}

/// The successor takes it under a token of its own.
async fn hand_over(
    connection: &mut MySqlConnection,
    leases: &[Lease],
    to: &str,
    keep: Duration,
) -> sqlx::Result<()> {
    count_query(Purpose::Lease);
    let mut update = Statement::new("UPDATE module_head FORCE INDEX (PRIMARY) SET lease_holder = ");
    update
        .push_bind(to)
        .push(", lease_token = lease_token + 1, lease_expires_at = ")
        .push(NOW)
        .push(" + ")
        .push_bind(length_micros(keep))
        .push(" WHERE ");
    held(&mut update, leases);
    ready(&mut update, leases.len()).execute(connection).await?;
    Ok(())
}

/// Modules whose token still stands. A token that is gone never comes back.
pub(super) async fn still_held(
    connection: &mut MySqlConnection,
    leases: &[Lease],
) -> sqlx::Result<Vec<String>> {
    count_query(Purpose::Lease);
    let mut select = Statement::new("SELECT module FROM module_head WHERE ");
    held(&mut select, leases);
    let select = ready(&mut select, leases.len());
    names(&Stored::all(select.fetch_all(connection).await?))
}

/// The first column, as texts.
pub(super) fn names(rows: &[Stored]) -> sqlx::Result<Vec<String>> {
    rows.iter()
        .map(|row| row.text(0).map(str::to_owned))
        .collect()
}
