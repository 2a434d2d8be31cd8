//! The census on SQLite.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;

use super::{SqliteStore, error::failed, json};
use crate::{
    domain::{Micros, ModuleName},
    store::{
        Census, ClientCount, ClientFilter, KnownClient, Pollers, Result, Sighting, Sketch,
        census::{
            client_columns, client_count, client_counts, known_client, polling_agent, polls,
            sketch, unnamed_pollers,
        },
        lease::length_micros,
    },
    telemetry::{Purpose, count_query},
};

const NOTE: &str = "\
    INSERT INTO client_census (module, client_id, agent, audience, address, first_seen, last_seen, \
                               polled_at, told, pushed_at, push_until) \
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, \
           value->>7, value->>8, value->>9, value->>10 \
    FROM json_each(?1) WHERE true \
    ON CONFLICT (module, client_id) DO UPDATE \
    SET agent = iif(excluded.agent <> '' AND excluded.last_seen >= last_seen, excluded.agent, agent), \
        audience = iif(excluded.last_seen >= last_seen, ifnull(excluded.audience, audience), audience), \
        address = iif(excluded.last_seen >= last_seen, ifnull(excluded.address, address), address), \
        first_seen = min(first_seen, excluded.first_seen), \
        last_seen = max(last_seen, excluded.last_seen), \
        told = iif(excluded.polled_at >= polled_at, excluded.told, told), \
        polled_at = max(polled_at, excluded.polled_at), \
        push_until = iif(excluded.pushed_at >= pushed_at, excluded.push_until, push_until), \
        pushed_at = max(pushed_at, excluded.pushed_at)";

const COUNT: &str = concat!(
    "SELECT ",
    client_counts!("?1"),
    ", count(CASE WHEN client_id = '' AND polled_at > 0 THEN 1 END), \
      (SELECT count(*) FROM client_sketch AS k WHERE k.module = client_census.module AND k.transport = 'poll') \
      FROM client_census WHERE last_seen >= ?1 GROUP BY module ORDER BY module"
);

const POLLERS: &str = "\
    SELECT count(*), count(DISTINCT agent), \
           count(CASE WHEN client_id = '' THEN 1 END) + \
           (SELECT count(*) FROM client_sketch WHERE module = ?1 AND transport = 'poll') \
    FROM client_census WHERE module = ?1 AND polled_at >= ?2";

const POLLING: &str = concat!(
    "SELECT ",
    client_columns!(),
    " FROM client_census WHERE module = ?1 AND polled_at >= ?2 ORDER BY client_id LIMIT ?3"
);

const AGENTS: &str = "\
    SELECT agent, count(*), max(polled_at) FROM client_census WHERE module = ?1 AND polled_at >= ?2 \
    GROUP BY agent ORDER BY count(*) DESC, agent LIMIT ?3";

const CLIENTS: &str = concat!(
    "SELECT ",
    client_columns!(),
    " FROM client_census WHERE (module, client_id) >= (?1, ?2) AND module <= ?3 \
      AND (?4 = '' OR (?4 = 'poll') = ",
    polls!(),
    ") AND (?5 IS NULL OR agent GLOB ?5) AND last_seen >= ?6 ORDER BY module, client_id LIMIT ?7"
);

const FORGET: &str = "\
    DELETE FROM client_census WHERE (module, client_id) IN ( \
        SELECT module, client_id FROM client_census WHERE last_seen < ?1 ORDER BY last_seen LIMIT ?2)";

/// Found by readers first: mostly there are none, and then nobody has to write.
const ADDRESSES: &str =
    "SELECT module, client_id FROM client_census WHERE address IS NOT NULL LIMIT ?1";

const FORGET_ADDRESSES: &str = "\
    UPDATE client_census SET address = NULL \
    WHERE (module, client_id) IN (SELECT value->>0, value->>1 FROM json_each(?1))";

const WRITE_SKETCH: &str = "\
    INSERT INTO client_sketch (module, transport, instance, slice, registers) VALUES (?1, ?2, ?3, ?4, ?5) \
    ON CONFLICT (module, transport, instance, slice) DO UPDATE SET registers = excluded.registers";

#[async_trait]
impl Census for SqliteStore {
    async fn note_clients(&self, seen: &[Sighting]) -> Result<()> {
        let doing = "writing the census";
        let mut writing = self.begin_ordinary(doing).await?;
        let now = Self::now().get();
        let rows: Vec<_> = seen
            .iter()
            .map(|seen| {
                let stored = seen.stored(now);
                (
                    seen.module.as_str(),
                    &seen.client_id,
                    &seen.agent,
                    &seen.audience,
                    &seen.address,
                    stored.first_seen,
                    stored.last_seen,
                    stored.polled_at,
                    stored.told,
                    stored.pushed_at,
                    stored.push_until,
                )
            })
            .collect();
        count_query(Purpose::Census);
        let note = sqlx::query(NOTE).bind(json::text(&rows));
        note.execute(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await
    }

    async fn count_clients(&self, within: Duration) -> Result<Vec<ClientCount>> {
        let doing = "counting clients";
        count_query(Purpose::Census);
        let count = sqlx::query(COUNT).bind(Self::now().minus(within).get());
        let rows = count
            .fetch_all(&self.readers)
            .await
            .map_err(failed(doing))?;
        let counts: sqlx::Result<_> = rows.iter().map(client_count).collect();
        counts.map_err(failed(doing))
    }

    async fn pollers(&self, module: &ModuleName, within: Duration, limit: u32) -> Result<Pollers> {
        let doing = "looking for who polls";
        let since = Self::now().minus(within).get();
        let ask = |statement: &'static str| {
            count_query(Purpose::Census);
            sqlx::query(statement).bind(module.as_str()).bind(since)
        };
        let read = async {
            let all = ask(POLLERS).fetch_one(&self.readers).await?;
            let clients = ask(POLLING).bind(limit).fetch_all(&self.readers).await?;
            let agents = ask(AGENTS).bind(limit).fetch_all(&self.readers).await?;
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
        read.await.map_err(failed(doing))
    }

    async fn clients(&self, filter: &ClientFilter) -> Result<Vec<KnownClient>> {
        let doing = "reading the census";
        let (module, client) = filter.from();
        count_query(Purpose::Census);
        let select = sqlx::query(CLIENTS)
            .bind(module)
            .bind(client)
            .bind(filter.through())
            .bind(filter.transport())
            .bind(filter.agent_glob())
            .bind(Self::now().minus(filter.within).get())
            .bind(filter.limit);
        let rows = select
            .fetch_all(&self.readers)
            .await
            .map_err(failed(doing))?;
        let clients: sqlx::Result<_> = rows.iter().map(known_client).collect();
        clients.map_err(failed(doing))
    }

    async fn forget_clients(&self, unseen_for: Duration, limit: u32) -> Result<u64> {
        let doing = "forgetting clients";
        let mut writing = self.begin_ordinary(doing).await?;
        count_query(Purpose::Census);
        let forget = sqlx::query(FORGET)
            .bind(Self::now().get() - length_micros(unseen_for))
            .bind(limit)
            .execute(writing.connection());
        let gone = forget.await.map_err(failed(doing))?.rows_affected();
        writing.commit(doing).await?;
        Ok(gone)
    }

    async fn forget_addresses(&self, limit: u32) -> Result<u64> {
        let doing = "forgetting addresses";
        count_query(Purpose::Census);
        let known = sqlx::query_as(ADDRESSES).bind(limit);
        let known: Vec<(String, String)> = known
            .fetch_all(&self.readers)
            .await
            .map_err(failed(doing))?;
        if known.is_empty() {
            return Ok(0);
        }
        let mut writing = self.begin_ordinary(doing).await?;
        count_query(Purpose::Census);
        let forget = sqlx::query(FORGET_ADDRESSES).bind(json::text(&known));
        let gone = forget.execute(writing.connection()).await;
        let gone = gone.map_err(failed(doing))?.rows_affected();
        writing.commit(doing).await?;
        Ok(gone)
    }

    async fn write_sketches(&self, sketches: &[Sketch]) -> Result<()> {
        let doing = "writing sketches of the census";
        let mut writing = self.begin_ordinary(doing).await?;
        for sketch in sketches {
            count_query(Purpose::Census);
            let write = sqlx::query(WRITE_SKETCH)
                .bind(sketch.module.as_str())
                .bind(sketch.crowd.as_str())
                .bind(&sketch.instance)
                .bind(sketch.slice.get())
                .bind(&sketch.registers);
            write
                .execute(writing.connection())
                .await
                .map_err(failed(doing))?;
        }
        writing.commit(doing).await
    }

    async fn sketches(&self, since: Micros) -> Result<Vec<Sketch>> {
        let doing = "reading sketches of the census";
        count_query(Purpose::Census);
        let select = sqlx::query(
            "SELECT module, transport, instance, slice, registers FROM client_sketch WHERE slice >= ?1",
        );
        let rows = select.bind(since.get()).fetch_all(&self.readers).await;
        let rows = rows.map_err(failed(doing))?;
        let read = rows.iter().map(|row| sketch(row, row.try_get(4)?));
        read.collect::<sqlx::Result<_>>().map_err(failed(doing))
    }

    async fn forget_sketches(&self, before: Micros) -> Result<u64> {
        let doing = "forgetting sketches of the census";
        let mut writing = self.begin_ordinary(doing).await?;
        count_query(Purpose::Census);
        let forget = sqlx::query("DELETE FROM client_sketch WHERE slice < ?1").bind(before.get());
        let gone = forget.execute(writing.connection()).await;
        let gone = gone.map_err(failed(doing))?.rows_affected();
        writing.commit(doing).await?;
        Ok(gone)
    }
}
