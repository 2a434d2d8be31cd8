//! Tokens on SQLite.

use async_trait::async_trait;
use sqlx::{Row, sqlite::SqliteRow};

use super::{SqliteStore, connection::Writing, error::failed};
use crate::{
    domain::Micros,
    store::{
        Enrolled, NewToken, Result, TokenRecord, TokenRevoked, Tokens,
        row::{json_text, token_modules, token_record},
        tokens::{CREATED, REVOKED},
    },
    telemetry::{Purpose, count_query},
};

const IN_FORCE: &str = "\
    SELECT id, name, role, modules, created_by, created_at, expires_at, revoked_at, hash FROM auth_token \
    WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?1) ORDER BY created_at, id LIMIT ?2";

const ALL: &str = "\
    SELECT id, name, role, modules, created_by, created_at, expires_at, revoked_at, hash FROM auth_token \
    ORDER BY created_at DESC, id DESC LIMIT ?1";

const ONE: &str = "\
    SELECT id, name, role, modules, created_by, created_at, expires_at, revoked_at, hash FROM auth_token WHERE id = ?1";

const ENROL: &str = "\
    INSERT INTO auth_token (id, name, role, modules, created_by, created_at, expires_at, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
    ON CONFLICT (id) DO NOTHING";

const REVOKE: &str = "UPDATE auth_token SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, before, after, reason, at) VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6)";

#[async_trait]
impl Tokens for SqliteStore {
    async fn tokens_in_force(&self, limit: u32) -> Result<Vec<TokenRecord>> {
        count_query(Purpose::Flags);
        let now: Micros = Self::now();
        let select = sqlx::query(IN_FORCE).bind(now.get()).bind(limit);
        let rows = select.fetch_all(&self.readers).await;
        records(&rows.map_err(failed("reading tokens"))?)
    }

    async fn tokens(&self, limit: u32) -> Result<Vec<TokenRecord>> {
        count_query(Purpose::Flags);
        let select = sqlx::query(ALL).bind(limit);
        let rows = select.fetch_all(&self.readers).await;
        records(&rows.map_err(failed("reading tokens"))?)
    }

    async fn token(&self, id: &str) -> Result<Option<TokenRecord>> {
        count_query(Purpose::Flags);
        let select = sqlx::query(ONE).bind(id).fetch_all(&self.readers);
        let rows = select.await.map_err(failed("reading a token"))?;
        Ok(records(&rows)?.pop())
    }

    async fn enrol_token(&self, new: &NewToken) -> Result<Enrolled> {
        let doing = "writing a token";
        let mut writing = self.begin_ordinary(doing).await?;
        let mut record = new.record.clone();
        record.created_at = Self::now();
        count_query(Purpose::Flags);
        let enrol = sqlx::query(ENROL)
            .bind(&record.id)
            .bind(&record.name)
            .bind(&record.roles)
            .bind(token_modules(&record)?)
            .bind(&record.created_by)
            .bind(record.created_at.get())
            .bind(record.expires_at.map(Micros::get))
            .bind(&record.hash)
            .execute(writing.connection());
        if enrol.await.map_err(failed(doing))?.rows_affected() == 0
            && let Some(known) = one(&mut writing, &record.id).await?
        {
            return Ok(Enrolled::Known(known));
        }
        let note = (&*new.actor, CREATED, &*new.reason);
        write_note(&mut writing, note, (None, &record), record.created_at).await?;
        writing.commit(doing).await?;
        Ok(Enrolled::New(record))
    }

    async fn revoke_token(&self, revoked: &TokenRevoked) -> Result<Option<TokenRecord>> {
        let doing = "revoking a token";
        let mut writing = self.begin_ordinary(doing).await?;
        let now: Micros = Self::now();
        let Some(before) = one(&mut writing, &revoked.id).await? else {
            return Ok(None);
        };
        if before.revoked_at.is_some() {
            return Ok(Some(before));
        }
        count_query(Purpose::Flags);
        let revoke = sqlx::query(REVOKE).bind(&revoked.id).bind(now.get());
        let done = revoke.execute(writing.connection()).await;
        done.map_err(failed(doing))?;
        let mut after = before.clone();
        after.revoked_at = Some(now);
        let note = (&*revoked.actor, REVOKED, &*revoked.reason);
        write_note(&mut writing, note, (Some(&before), &after), now).await?;
        writing.commit(doing).await?;
        Ok(Some(after))
    }
}

fn records(rows: &[SqliteRow]) -> Result<Vec<TokenRecord>> {
    let record = |row: &SqliteRow| token_record(row, row.try_get(8)?);
    let records: sqlx::Result<_> = rows.iter().map(record).collect();
    records.map_err(failed("reading tokens"))
}

async fn one(writing: &mut Writing, id: &str) -> Result<Option<TokenRecord>> {
    count_query(Purpose::Flags);
    let select = sqlx::query(ONE).bind(id).fetch_all(writing.connection());
    let rows = select.await.map_err(failed("reading a token"))?;
    Ok(records(&rows)?.pop())
}

async fn write_note(
    writing: &mut Writing,
    (actor, action, reason): (&str, &str, &str),
    (before, after): (Option<&TokenRecord>, &TokenRecord),
    now: Micros,
) -> Result<()> {
    count_query(Purpose::Flags);
    let note = sqlx::query(NOTE)
        .bind(actor)
        .bind(action)
        .bind(json_text("audit", &before)?)
        .bind(json_text("audit", after)?)
        .bind(reason)
        .bind(now.get())
        .execute(writing.connection());
    note.await.map_err(failed("writing the audit of a token"))?;
    Ok(())
}
