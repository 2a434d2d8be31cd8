//! Tokens on MariaDB and MySQL.

use async_trait::async_trait;
use sqlx::mysql::MySqlRow;

use super::{
    MySqlStore, connection::Borrowed, error::is_duplicate, lease::NOW, statement::Statement,
    stored::Stored,
};
use crate::{
    domain::Micros,
    store::{
        Enrolled, Error, NewToken, Result, TokenRecord, TokenRevoked, Tokens,
        row::{json_text, token_modules, token_record},
        tokens::{CREATED, REVOKED},
    },
    telemetry::{Purpose, count_query},
};

const COLUMNS: &str =
    "id, name, role, modules, created_by, created_at, expires_at, revoked_at, hash";

const ENROL: &str = "\
    INSERT INTO auth_token (id, name, role, modules, created_by, created_at, expires_at, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";

const REVOKE: &str = "UPDATE auth_token SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, `before`, `after`, reason, at) VALUES (NULL, ?, ?, ?, ?, ?, ?)";

#[async_trait]
impl Tokens for MySqlStore {
    async fn tokens_in_force(&self, limit: u32) -> Result<Vec<TokenRecord>> {
        let mut select = select();
        select.push(" WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ");
        select.push(NOW);
        select.push(") ORDER BY created_at, id");
        self.read_tokens(select, limit).await
    }

    async fn tokens(&self, limit: u32) -> Result<Vec<TokenRecord>> {
        let mut select = select();
        select.push(" ORDER BY created_at DESC, id DESC");
        self.read_tokens(select, limit).await
    }

    async fn token(&self, id: &str) -> Result<Option<TokenRecord>> {
        let doing = "reading a token";
        let mut borrowed = self.begin(doing).await?;
        let found = self.one_token(&mut borrowed, id).await?;
        self.commit(doing, borrowed).await?;
        Ok(found)
    }

    async fn enrol_token(&self, new: &NewToken) -> Result<Enrolled> {
        // Of two that find it there by inserting it, each would hold a lock that the other waits for.
        if let Some(known) = self.token(&new.record.id).await? {
            return Ok(Enrolled::Known(known));
        }
        let doing = "writing a token";
        let mut borrowed = self.begin(doing).await?;
        let mut record = new.record.clone();
        record.created_at = self.token_time(&mut borrowed).await?;
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
            .execute(borrowed.connection());
        let enrol = async {
            match enrol.await {
                Ok(_) => Ok(true),
                Err(error) if is_duplicate(&error) => Ok(false),
                Err(error) => Err(error),
            }
        };
        if !self.call(doing, enrol).await? {
            // Let go first: each of several that found it there holds a lock on it, and would want more than the others let it have.
            self.commit(doing, borrowed).await?;
            let known = self.token(&record.id).await?.map(Enrolled::Known);
            return known.ok_or_else(|| Error::Unavailable {
                why: format!("{doing}: one was there, and is gone"),
                source: None,
            });
        }
        let note = (&*new.actor, CREATED, &*new.reason);
        self.note_token(&mut borrowed, note, (None, &record), record.created_at)
            .await?;
        self.commit(doing, borrowed).await?;
        Ok(Enrolled::New(record))
    }

    async fn revoke_token(&self, revoked: &TokenRevoked) -> Result<Option<TokenRecord>> {
        let doing = "revoking a token";
        let mut borrowed = self.begin(doing).await?;
        let now = self.token_time(&mut borrowed).await?;
        let before = match self.one_token(&mut borrowed, &revoked.id).await? {
            Some(before) if before.revoked_at.is_none() => before,
            none_or_revoked => {
                self.commit(doing, borrowed).await?;
                return Ok(none_or_revoked);
            }
        };
        count_query(Purpose::Flags);
        let revoke = sqlx::query(REVOKE).bind(now.get()).bind(&revoked.id);
        let revoke = revoke.execute(borrowed.connection());
        self.call(doing, revoke).await?;
        let mut after = before.clone();
        after.revoked_at = Some(now);
        let note = (&*revoked.actor, REVOKED, &*revoked.reason);
        self.note_token(&mut borrowed, note, (Some(&before), &after), now)
            .await?;
        self.commit(doing, borrowed).await?;
        Ok(Some(after))
    }
}

impl MySqlStore {
    async fn read_tokens(&self, mut select: Statement, limit: u32) -> Result<Vec<TokenRecord>> {
        let doing = "reading tokens";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Flags);
        select.push(" LIMIT ").push_bind(limit);
        let rows = select.build().fetch_all(borrowed.connection());
        let rows = self.call(doing, rows).await?;
        borrowed.put_back();
        records(rows)
    }

    async fn token_time(&self, borrowed: &mut Borrowed) -> Result<Micros> {
        count_query(Purpose::Flags);
        let mut clock = Statement::new("SELECT ");
        clock.push(NOW);
        let now = clock.build_query_scalar().fetch_one(borrowed.connection());
        let now: i64 = self.call("reading the time", now).await?;
        Ok(Micros::new(now))
    }

    async fn one_token(&self, borrowed: &mut Borrowed, id: &str) -> Result<Option<TokenRecord>> {
        count_query(Purpose::Flags);
        let mut one = select();
        one.push(" WHERE id = ").push_bind(id).push(" FOR UPDATE");
        let one = one.build().fetch_all(borrowed.connection());
        let rows = self.call("reading a token", one).await?;
        Ok(records(rows)?.pop())
    }

    async fn note_token(
        &self,
        borrowed: &mut Borrowed,
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
            .execute(borrowed.connection());
        self.call("writing the audit of a token", note).await?;
        Ok(())
    }
}

/// The columns, in the order that [`token_record`] reads, and the table.
fn select() -> Statement {
    let mut select = Statement::new("SELECT ");
    select.push(COLUMNS).push(" FROM auth_token");
    select
}

fn records(rows: Vec<MySqlRow>) -> Result<Vec<TokenRecord>> {
    let record = |row: &Stored| token_record(row, row.bytes(8)?.unwrap_or_default());
    let records: sqlx::Result<_> = Stored::all(rows).iter().map(record).collect();
    records.map_err(Error::Unexpected)
}
