//! Leases on SQLite. The time is read once the writer's lock is held.

use std::time::Duration;

use async_trait::async_trait;

use super::{SqliteStore, error::failed, json};
use crate::{
    domain::ModuleName,
    store::{Lease, Leases, Result, Share, lease::length_micros, row},
    telemetry::{Purpose, count_query},
};

const ENSURE: &str = "\
    INSERT INTO module_head (module) SELECT value FROM json_each(?1) WHERE true \
    ON CONFLICT (module) DO NOTHING";

const ACQUIRE: &str = "\
    UPDATE module_head \
    SET lease_holder = ?2, lease_token = lease_token + 1, lease_expires_at = ?3 + ?4 \
    WHERE module IN ( \
        SELECT module FROM module_head \
        WHERE module IN (SELECT value FROM json_each(?1)) \
          AND (lease_holder IS NULL OR lease_holder = ?2 OR lease_expires_at <= ?3 - ?5) \
        ORDER BY lease_holder IS NOT ?2, module LIMIT ?6) \
    RETURNING module, lease_token";

const RENEW: &str = "\
    UPDATE module_head \
    SET lease_expires_at = ?2 + ?3, sequenced_through = max(sequenced_through, ?2) \
    WHERE (module, lease_token) IN (SELECT value->>0, value->>1 FROM json_each(?1)) \
    RETURNING module, lease_token";

/// The successor takes it under a token of its own.
const HAND_OVER: &str = "\
    UPDATE module_head \
    SET lease_holder = ?2, lease_expires_at = ?3 + ?4, lease_token = lease_token + 1 \
    WHERE (module, lease_token) IN (SELECT value->>0, value->>1 FROM json_each(?1))";

/// The token grows, so that the one given back fences nothing any more.
const RELEASE: &str = "\
    UPDATE module_head \
    SET lease_holder = NULL, lease_expires_at = 0, lease_token = lease_token + 1 \
    WHERE (module, lease_token) IN (SELECT value->>0, value->>1 FROM json_each(?1))";

#[async_trait]
impl Leases for SqliteStore {
    async fn ensure_modules(&self, modules: &[ModuleName]) -> Result<()> {
        let doing = "creating module heads";
        let mut writing = self.begin_urgent(doing).await?;
        count_query(Purpose::Lease);
        let insert = sqlx::query(ENSURE).bind(json::text(&modules));
        insert
            .execute(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await
    }

    async fn acquire(
        &self,
        modules: &[ModuleName],
        holder: &str,
        lease: Duration,
        share: Share,
    ) -> Result<Vec<Lease>> {
        let doing = "acquiring leases";
        let mut writing = self.begin_urgent(doing).await?;
        count_query(Purpose::Lease);
        let update = sqlx::query(ACQUIRE)
            .bind(json::text(&modules))
            .bind(holder)
            .bind(Self::now().get())
            .bind(length_micros(lease))
            .bind(length_micros(share.overdue))
            .bind(i64::from(share.most));
        let rows = update
            .fetch_all(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await?;
        row::leases(&rows, modules)
    }

    async fn renew(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Lease>> {
        let doing = "renewing leases";
        let mut writing = self.begin_urgent(doing).await?;
        count_query(Purpose::Lease);
        let update = sqlx::query(RENEW)
            .bind(pairs(leases))
            .bind(Self::now().get())
            .bind(length_micros(lease));
        let rows = update
            .fetch_all(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await?;
        row::leases(&rows, leases.iter().map(|lease| &lease.module))
    }

    async fn release(&self, leases: &[Lease]) -> Result<()> {
        let doing = "giving leases back";
        let mut writing = self.begin_urgent(doing).await?;
        count_query(Purpose::Lease);
        let update = sqlx::query(RELEASE).bind(pairs(leases));
        update
            .execute(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await
    }

    async fn hand_over(&self, leases: &[Lease], to: &str, keep: Duration) -> Result<()> {
        let doing = "handing leases over";
        let mut writing = self.begin_urgent(doing).await?;
        count_query(Purpose::Lease);
        let update = sqlx::query(HAND_OVER)
            .bind(pairs(leases))
            .bind(to)
            .bind(Self::now().get())
            .bind(length_micros(keep));
        update
            .execute(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await
    }
}

/// Modules and tokens, as a JSON array of pairs.
pub(super) fn pairs<'a>(leases: impl IntoIterator<Item = &'a Lease>) -> String {
    let pairs = leases
        .into_iter()
        .map(|lease| (lease.module.as_str(), lease.token));
    json::text(&pairs.collect::<Vec<_>>())
}
