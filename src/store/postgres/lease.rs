//! Leases on PostgreSQL. `clock_timestamp()` is the clock: it goes on inside a transaction.

use std::time::Duration;

use async_trait::async_trait;

use super::PostgresStore;
use crate::{
    domain::ModuleName,
    store::{Lease, Leases, Result, Share, lease::length_micros, row},
    telemetry::{Purpose, count_query},
};

const ENSURE: &str = "\
    INSERT INTO module_head (module) SELECT unnest($1::text[]) ON CONFLICT (module) DO NOTHING";

/// SKIP LOCKED: a row that somebody holds is not free, and waiting for it would hold up the others.
const ACQUIRE: &str = "\
    WITH free AS ( \
        SELECT module FROM module_head \
        WHERE module = ANY($1) \
          AND (lease_holder IS NULL OR lease_holder = $2 \
               OR lease_expires_at <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $4) \
        ORDER BY lease_holder IS DISTINCT FROM $2, module LIMIT $5 FOR UPDATE SKIP LOCKED \
    ) \
    UPDATE module_head h \
    SET lease_holder = $2, lease_token = h.lease_token + 1, \
        lease_expires_at = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $3 \
    FROM free WHERE h.module = free.module \
    RETURNING h.module, h.lease_token";

const RENEW: &str = "\
    UPDATE module_head h \
    SET lease_expires_at = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $3, \
        sequenced_through = GREATEST( \
            h.sequenced_through, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) \
    FROM unnest($1::text[], $2::bigint[]) AS l(module, token) \
    WHERE h.module = l.module AND h.lease_token = l.token \
    RETURNING h.module, h.lease_token";

/// The token grows, so that the one given back fences nothing any more.
const RELEASE: &str = "\
    UPDATE module_head h \
    SET lease_holder = NULL, lease_expires_at = 0, lease_token = h.lease_token + 1 \
    FROM unnest($1::text[], $2::bigint[]) AS l(module, token) \
    WHERE h.module = l.module AND h.lease_token = l.token";

/// The successor takes it under a token of its own.
const HAND_OVER: &str = "\
    UPDATE module_head h \
    SET lease_holder = $3, lease_token = h.lease_token + 1, \
        lease_expires_at = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $4 \
    FROM unnest($1::text[], $2::bigint[]) AS l(module, token) \
    WHERE h.module = l.module AND h.lease_token = l.token";

#[async_trait]
impl Leases for PostgresStore {
    async fn ensure_modules(&self, modules: &[ModuleName]) -> Result<()> {
        let names: Vec<&str> = modules.iter().map(ModuleName::as_str).collect();
        let doing = "creating module heads";
        let mut seated = self.seated(doing).await?;
        count_query(Purpose::Lease);
        let insert = sqlx::query(ENSURE).bind(names).execute(seated.connection());
        self.quick(doing, insert).await?;
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
        let names: Vec<&str> = modules.iter().map(ModuleName::as_str).collect();
        let doing = "acquiring leases";
        let mut seated = self.seated(doing).await?;
        count_query(Purpose::Lease);
        let update = sqlx::query(ACQUIRE)
            .bind(names)
            .bind(holder)
            .bind(length_micros(lease))
            .bind(length_micros(share.overdue))
            .bind(i64::from(share.most));
        let rows = self
            .quick(doing, update.fetch_all(seated.connection()))
            .await?;
        seated.put_back();
        row::leases(&rows, modules)
    }

    async fn renew(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Lease>> {
        let (names, held) = columns(leases);
        let doing = "renewing leases";
        let mut seated = self.seated(doing).await?;
        count_query(Purpose::Lease);
        let update = sqlx::query(RENEW)
            .bind(names)
            .bind(held)
            .bind(length_micros(lease));
        let rows = self
            .quick(doing, update.fetch_all(seated.connection()))
            .await?;
        seated.put_back();
        row::leases(&rows, leases.iter().map(|lease| &lease.module))
    }

    async fn release(&self, leases: &[Lease]) -> Result<()> {
        let (names, held) = columns(leases);
        let doing = "giving leases back";
        let mut seated = self.seated(doing).await?;
        count_query(Purpose::Lease);
        let update = sqlx::query(RELEASE).bind(names).bind(held);
        self.quick(doing, update.execute(seated.connection()))
            .await?;
        seated.put_back();
        Ok(())
    }

    async fn hand_over(&self, leases: &[Lease], to: &str, keep: Duration) -> Result<()> {
        let (names, held) = columns(leases);
        let doing = "handing leases over";
        let mut seated = self.seated(doing).await?;
        count_query(Purpose::Lease);
        let update = sqlx::query(HAND_OVER)
            .bind(names)
            .bind(held)
            .bind(to)
            .bind(length_micros(keep));
        self.quick(doing, update.execute(seated.connection()))
            .await?;
        seated.put_back();
        Ok(())
    }
}

/// Modules and tokens, as two arrays.
pub(super) fn columns(leases: &[Lease]) -> (Vec<&str>, Vec<i64>) {
    leases
        .iter()
        .map(|lease| (lease.module.as_str(), lease.token))
        .unzip()
}
