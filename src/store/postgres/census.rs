//! The census on PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;

use super::PostgresStore;
use crate::{
    domain::{Micros, ModuleName},
    store::{
        Census, ClientCount, ClientFilter, Error, KnownClient, Pollers, Result, Sighting, Sketch,
        census::{
            StoredSighting, client_columns, client_count, client_counts, known_client,
            polling_agent, polls, sketch, unnamed_pollers,
        },
        lease::length_micros,
    },
    telemetry::{Purpose, count_query},
};

/// Stands still during a statement.
macro_rules! now {
    () => {
        "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"
    };
}

/// In the order of the key, so that two replicas never wait for each other crosswise.
const NOTE: &str = "\
    INSERT INTO client_census AS c (module, client_id, agent, audience, address, first_seen, last_seen, \
                                    polled_at, told, pushed_at, push_until) \
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], \
                         $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[]) \
        AS n(module, client_id, agent, audience, address, first_seen, last_seen, polled_at, told, pushed_at, push_until) \
    ORDER BY module COLLATE \"C\", client_id COLLATE \"C\" \
    ON CONFLICT (module, client_id) DO UPDATE \
    SET agent = CASE WHEN excluded.agent <> '' AND excluded.last_seen >= c.last_seen THEN excluded.agent ELSE c.agent END, \
        audience = CASE WHEN excluded.last_seen >= c.last_seen THEN coalesce(excluded.audience, c.audience) ELSE c.audience END, \
        address = CASE WHEN excluded.last_seen >= c.last_seen THEN coalesce(excluded.address, c.address) ELSE c.address END, \
        first_seen = least(c.first_seen, excluded.first_seen), \
        last_seen = greatest(c.last_seen, excluded.last_seen), \
        told = CASE WHEN excluded.polled_at >= c.polled_at THEN excluded.told ELSE c.told END, \
        polled_at = greatest(c.polled_at, excluded.polled_at), \
        push_until = CASE WHEN excluded.pushed_at >= c.pushed_at THEN excluded.push_until ELSE c.push_until END, \
        pushed_at = greatest(c.pushed_at, excluded.pushed_at)";

const CLOCK: &str = concat!("SELECT ", now!());

const COUNT: &str = concat!(
    "SELECT ",
    client_counts!(concat!("(", now!(), " - $1)")),
    ", count(CASE WHEN client_id = '' AND polled_at > 0 THEN 1 END), \
      (SELECT count(*) FROM client_sketch AS k WHERE k.module = client_census.module AND k.transport = 'poll') \
      FROM client_census WHERE last_seen >= ",
    now!(),
    " - $1 GROUP BY module ORDER BY module"
);

const POLLERS: &str = concat!(
    "SELECT count(*), count(DISTINCT agent), \
            count(CASE WHEN client_id = '' THEN 1 END) + \
           (SELECT count(*) FROM client_sketch WHERE module = $1 AND transport = 'poll') \
     FROM client_census WHERE module = $1 AND polled_at >= ",
    now!(),
    " - $2"
);

const POLLING: &str = concat!(
    "SELECT ",
    client_columns!(),
    " FROM client_census WHERE module = $1 AND polled_at >= ",
    now!(),
    " - $2 ORDER BY client_id LIMIT $3"
);

const AGENTS: &str = concat!(
    "SELECT agent, count(*), max(polled_at) FROM client_census WHERE module = $1 AND polled_at >= ",
    now!(),
    " - $2 GROUP BY agent ORDER BY count(*) DESC, agent LIMIT $3"
);

const CLIENTS: &str = concat!(
    "SELECT ",
    client_columns!(),
    " FROM client_census WHERE (module, client_id) >= ($1, $2) AND module <= $3 \
      AND ($4 = '' OR ($4 = 'poll') = ",
    polls!(),
    ") AND ($5::text IS NULL OR agent LIKE $5 ESCAPE '!') AND last_seen >= ",
    now!(),
    " - $6 ORDER BY module, client_id LIMIT $7"
);

const FORGET: &str = concat!(
    "DELETE FROM client_census c USING ( \
        SELECT module, client_id FROM client_census WHERE last_seen < ",
    now!(),
    " - $1 ORDER BY last_seen LIMIT $2 FOR UPDATE SKIP LOCKED) AS old \
    WHERE c.module = old.module AND c.client_id = old.client_id"
);

const FORGET_ADDRESSES: &str = "\
    UPDATE client_census AS c SET address = NULL FROM ( \
        SELECT module, client_id FROM client_census WHERE address IS NOT NULL LIMIT $1 FOR UPDATE SKIP LOCKED) AS known \
    WHERE c.module = known.module AND c.client_id = known.client_id";

const WRITE_SKETCH: &str = "\
    INSERT INTO client_sketch (module, transport, instance, slice, registers) VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (module, transport, instance, slice) DO UPDATE SET registers = excluded.registers";

#[async_trait]
impl Census for PostgresStore {
    async fn note_clients(&self, seen: &[Sighting]) -> Result<()> {
        let doing = "writing the census";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Census);
        let clock = sqlx::query_scalar(CLOCK).fetch_one(borrowed.connection());
        let now: i64 = self.call(doing, clock).await?;
        let rows: Vec<_> = seen.iter().map(|seen| seen.stored(now)).collect();
        count_query(Purpose::Census);
        let note = sqlx::query(NOTE)
            .bind(texts(&rows, |row| row.seen.module.as_str()))
            .bind(texts(&rows, |row| &row.seen.client_id))
            .bind(texts(&rows, |row| &row.seen.agent))
            .bind(optional(&rows, |row| row.seen.audience.as_deref()))
            .bind(optional(&rows, |row| row.seen.address.as_deref()))
            .bind(integers(&rows, |row| row.first_seen))
            .bind(integers(&rows, |row| row.last_seen))
            .bind(integers(&rows, |row| row.polled_at))
            .bind(integers(&rows, |row| row.told))
            .bind(integers(&rows, |row| row.pushed_at))
            .bind(integers(&rows, |row| row.push_until))
            .execute(borrowed.connection());
        self.call(doing, note).await?;
        borrowed.put_back();
        Ok(())
    }

    async fn count_clients(&self, within: Duration) -> Result<Vec<ClientCount>> {
        let doing = "counting clients";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Census);
        let count = sqlx::query(COUNT).bind(length_micros(within));
        let rows = self
            .call(doing, count.fetch_all(borrowed.connection()))
            .await?;
        borrowed.put_back();
        let counts: sqlx::Result<_> = rows.iter().map(client_count).collect();
        counts.map_err(Error::Unexpected)
    }

    async fn pollers(&self, module: &ModuleName, within: Duration, limit: u32) -> Result<Pollers> {
        let doing = "looking for who polls";
        let mut borrowed = self.borrow(doing).await?;
        let ask = |statement: &'static str| {
            count_query(Purpose::Census);
            sqlx::query(statement)
                .bind(module.as_str())
                .bind(length_micros(within))
        };
        let limit = i64::from(limit);
        let read = async {
            let connection = borrowed.connection();
            let all = ask(POLLERS).fetch_one(&mut *connection).await?;
            let clients = ask(POLLING).bind(limit).fetch_all(&mut *connection).await?;
            let agents = ask(AGENTS).bind(limit).fetch_all(connection).await?;
            Ok(Pollers {
                clients: clients
                    .iter()
                    .map(known_client)
                    .collect::<sqlx::Result<_>>()?,
                agents: agents
                    .iter()
                    .map(polling_agent)
                    .collect::<sqlx::Result<_>>()?,
                ..unnamed_pollers(&all)?
            })
        };
        let pollers = self.call(doing, read).await?;
        borrowed.put_back();
        Ok(pollers)
    }

    async fn clients(&self, filter: &ClientFilter) -> Result<Vec<KnownClient>> {
        let doing = "reading the census";
        let mut borrowed = self.borrow(doing).await?;
        let (module, client) = filter.from();
        count_query(Purpose::Census);
        let select = sqlx::query(CLIENTS)
            .bind(module)
            .bind(client)
            .bind(filter.through())
            .bind(filter.transport())
            .bind(filter.agent_like())
            .bind(length_micros(filter.within))
            .bind(i64::from(filter.limit))
            .fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        let clients: sqlx::Result<_> = rows.iter().map(known_client).collect();
        clients.map_err(Error::Unexpected)
    }

    async fn forget_clients(&self, unseen_for: Duration, limit: u32) -> Result<u64> {
        let doing = "forgetting clients";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Census);
        let forget = sqlx::query(FORGET)
            .bind(length_micros(unseen_for))
            .bind(i64::from(limit))
            .execute(borrowed.connection());
        let gone = self.call(doing, forget).await?.rows_affected();
        borrowed.put_back();
        Ok(gone)
    }

    async fn forget_addresses(&self, limit: u32) -> Result<u64> {
        let doing = "forgetting addresses";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Census);
        let forget = sqlx::query(FORGET_ADDRESSES)
            .bind(i64::from(limit))
            .execute(borrowed.connection());
        let gone = self.call(doing, forget).await?.rows_affected();
        borrowed.put_back();
        Ok(gone)
    }

    async fn write_sketches(&self, sketches: &[Sketch]) -> Result<()> {
        let doing = "writing sketches of the census";
        let mut borrowed = self.borrow(doing).await?;
        for sketch in sketches {
            count_query(Purpose::Census);
            let write = sqlx::query(WRITE_SKETCH)
                .bind(sketch.module.as_str())
                .bind(sketch.crowd.as_str())
                .bind(&sketch.instance)
                .bind(sketch.slice.get())
                .bind(&sketch.registers)
                .execute(borrowed.connection());
            self.call(doing, write).await?;
        }
        borrowed.put_back();
        Ok(())
    }

    async fn sketches(&self, since: Micros) -> Result<Vec<Sketch>> {
        let doing = "reading sketches of the census";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Census);
        let select = sqlx::query(
            "SELECT module, transport, instance, slice, registers FROM client_sketch WHERE slice >= $1",
        );
        let select = select.bind(since.get()).fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        let read = rows.iter().map(|row| sketch(row, row.try_get(4)?));
        read.collect::<sqlx::Result<_>>().map_err(Error::Unexpected)
    }

    async fn forget_sketches(&self, before: Micros) -> Result<u64> {
        let doing = "forgetting sketches of the census";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Census);
        let forget = sqlx::query("DELETE FROM client_sketch WHERE slice < $1").bind(before.get());
        let gone = self
            .call(doing, forget.execute(borrowed.connection()))
            .await?;
        borrowed.put_back();
        Ok(gone.rows_affected())
    }
}

fn texts<'a>(
    rows: &'a [StoredSighting<'a>],
    of: impl Fn(&'a StoredSighting<'a>) -> &'a str,
) -> Vec<&'a str> {
    rows.iter().map(of).collect()
}

fn optional<'a>(
    rows: &'a [StoredSighting<'a>],
    of: impl Fn(&'a StoredSighting<'a>) -> Option<&'a str>,
) -> Vec<Option<&'a str>> {
    rows.iter().map(of).collect()
}

fn integers(rows: &[StoredSighting<'_>], of: impl Fn(&StoredSighting<'_>) -> i64) -> Vec<i64> {
    rows.iter().map(of).collect()
}
