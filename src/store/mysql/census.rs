//! The census on MariaDB and MySQL.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    MySqlStore,
    connection::Borrowed,
    lease::NOW,
    statement::{Statement, chunks, ready},
    stored::Stored,
};
use crate::{
    domain::{Micros, ModuleName},
    store::{
        Census, ClientCount, ClientFilter, Error, KnownClient, Pollers, Result, Sighting, Sketch,
        census::{
            StoredSighting, client_columns, client_count, client_counts, known_client,
            polling_agent, polls, sketch, unnamed_pollers,
        },
        lease::length_micros,
        row::Columns,
    },
    telemetry::{Purpose, count_query},
};

/// The assignments take effect from left to right: a time stands behind all that are decided by it.
const MERGE: &str = " ON DUPLICATE KEY UPDATE \
    agent = IF(VALUES(agent) <> '' AND VALUES(last_seen) >= last_seen, VALUES(agent), agent), \
    audience = IF(VALUES(last_seen) >= last_seen, COALESCE(VALUES(audience), audience), audience), \
    address = IF(VALUES(last_seen) >= last_seen, COALESCE(VALUES(address), address), address), \
    first_seen = LEAST(first_seen, VALUES(first_seen)), \
    last_seen = GREATEST(last_seen, VALUES(last_seen)), \
    told = IF(VALUES(polled_at) >= polled_at, VALUES(told), told), \
    polled_at = GREATEST(polled_at, VALUES(polled_at)), \
    push_until = IF(VALUES(pushed_at) >= pushed_at, VALUES(push_until), push_until), \
    pushed_at = GREATEST(pushed_at, VALUES(pushed_at))";

const COUNT: &str = concat!(
    "SELECT ",
    client_counts!("?"),
    ", COUNT(CASE WHEN client_id = '' AND polled_at > 0 THEN 1 END), \
      (SELECT COUNT(*) FROM client_sketch AS k WHERE k.module = client_census.module AND k.transport = 'poll') \
      FROM client_census WHERE last_seen >= ? GROUP BY module ORDER BY module"
);

const POLLERS: &str = "\
    SELECT COUNT(*), COUNT(DISTINCT agent), \
           COUNT(CASE WHEN client_id = '' THEN 1 END) + \
           (SELECT COUNT(*) FROM client_sketch WHERE module = ? AND transport = 'poll') \
    FROM client_census FORCE INDEX (PRIMARY) WHERE module = ? AND polled_at >= ?";

const POLLING: &str = concat!(
    "SELECT ",
    client_columns!(),
    " FROM client_census FORCE INDEX (PRIMARY) WHERE module = ? AND polled_at >= ? ORDER BY client_id LIMIT ?"
);

const AGENTS: &str = "\
    SELECT agent, COUNT(*), MAX(polled_at) FROM client_census FORCE INDEX (PRIMARY) WHERE module = ? AND polled_at >= ? \
    GROUP BY agent ORDER BY COUNT(*) DESC, agent LIMIT ?";

const CLIENTS: &str = concat!(
    "SELECT ",
    client_columns!(),
    " FROM client_census FORCE INDEX (PRIMARY) \
      WHERE module >= ? AND (module > ? OR client_id >= ?) AND module <= ? AND (? = '' OR (? = 'poll') = ",
    polls!(),
    ") AND (? IS NULL OR agent LIKE ? ESCAPE '!') AND last_seen >= ? ORDER BY module, client_id LIMIT ?"
);

/// Who is gone is found without a lock: of two replicas that find the same, one deletes.
const OLD: &str = "\
    SELECT module, client_id FROM client_census FORCE INDEX (client_census_seen) WHERE last_seen < ? \
    ORDER BY last_seen LIMIT ?";

/// Without a lock, as those who are gone.
const ADDRESSES: &str =
    "SELECT module, client_id FROM client_census WHERE address IS NOT NULL LIMIT ?";

const WRITE_SKETCH: &str = "\
    INSERT INTO client_sketch (module, transport, instance, slice, registers) VALUES (?, ?, ?, ?, ?) \
    ON DUPLICATE KEY UPDATE registers = VALUES(registers)";

#[async_trait]
impl Census for MySqlStore {
    async fn note_clients(&self, seen: &[Sighting]) -> Result<()> {
        let doing = "writing the census";
        let mut borrowed = self.begin(doing).await?;
        let now = self.clock(doing, &mut borrowed).await?;
        let mut rows: Vec<_> = seen.iter().map(|seen| seen.stored(now)).collect();
        // So that two replicas do not wait for each other crosswise.
        rows.sort_unstable_by_key(|row| (row.seen.module.as_str(), &*row.seen.client_id));
        for chunk in chunks(&rows, |row| row.seen.client_id.len() + row.seen.agent.len()) {
            let mut insert = insert(chunk);
            count_query(Purpose::Census);
            let insert = ready(&mut insert, chunk.len()).execute(borrowed.connection());
            self.call(doing, insert).await?;
        }
        self.commit(doing, borrowed).await
    }

    async fn count_clients(&self, within: Duration) -> Result<Vec<ClientCount>> {
        let doing = "counting clients";
        let mut borrowed = self.borrow(doing).await?;
        let since = self.clock(doing, &mut borrowed).await? - length_micros(within);
        count_query(Purpose::Census);
        let count = sqlx::query(COUNT).bind(since).bind(since);
        let rows = self
            .call(doing, count.fetch_all(borrowed.connection()))
            .await?;
        borrowed.put_back();
        let counts: sqlx::Result<_> = Stored::all(rows).iter().map(client_count).collect();
        counts.map_err(Error::Unexpected)
    }

    async fn pollers(&self, module: &ModuleName, within: Duration, limit: u32) -> Result<Pollers> {
        let doing = "looking for who polls";
        let mut borrowed = self.borrow(doing).await?;
        let since = self.clock(doing, &mut borrowed).await? - length_micros(within);
        let ask = |statement: &'static str| {
            count_query(Purpose::Census);
            sqlx::query(statement).bind(module.as_str()).bind(since)
        };
        let read = async {
            let connection = borrowed.connection();
            count_query(Purpose::Census);
            let all = sqlx::query(POLLERS).bind(module.as_str());
            let all = all.bind(module.as_str()).bind(since);
            let all = all.fetch_one(&mut *connection).await?;
            let clients = ask(POLLING).bind(limit).fetch_all(&mut *connection).await?;
            let agents = ask(AGENTS).bind(limit).fetch_all(connection).await?;
            let (clients, agents) = (Stored::all(clients), Stored::all(agents));
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
        let since = self.clock(doing, &mut borrowed).await? - length_micros(filter.within);
        let ((module, client), agent) = (filter.from(), filter.agent_like());
        count_query(Purpose::Census);
        let select = sqlx::query(CLIENTS)
            .bind(module)
            .bind(module)
            .bind(client)
            .bind(filter.through())
            .bind(filter.transport())
            .bind(filter.transport())
            .bind(&agent)
            .bind(&agent)
            .bind(since)
            .bind(filter.limit)
            .fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        let clients: sqlx::Result<_> = Stored::all(rows).iter().map(known_client).collect();
        clients.map_err(Error::Unexpected)
    }

    async fn forget_clients(&self, unseen_for: Duration, limit: u32) -> Result<u64> {
        let doing = "forgetting clients";
        let mut borrowed = self.borrow(doing).await?;
        let before = self.clock(doing, &mut borrowed).await? - length_micros(unseen_for);
        count_query(Purpose::Census);
        let old = sqlx::query(OLD).bind(before).bind(limit);
        let old = self
            .call(doing, old.fetch_all(borrowed.connection()))
            .await?;
        let mut gone = 0;
        for chunk in chunks(&Stored::all(old), |_row| 0) {
            let mut delete = Statement::new("DELETE FROM client_census WHERE last_seen < ");
            delete.push_bind(before);
            only(&mut delete, chunk).map_err(Error::Unexpected)?;
            count_query(Purpose::Census);
            let delete = ready(&mut delete, chunk.len()).execute(borrowed.connection());
            gone += self.call(doing, delete).await?.rows_affected();
        }
        borrowed.put_back();
        Ok(gone)
    }

    async fn forget_addresses(&self, limit: u32) -> Result<u64> {
        let doing = "forgetting addresses";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Census);
        let known = sqlx::query(ADDRESSES).bind(limit);
        let known = self
            .call(doing, known.fetch_all(borrowed.connection()))
            .await?;
        let mut gone = 0;
        for chunk in chunks(&Stored::all(known), |_row| 0) {
            let mut update =
                Statement::new("UPDATE client_census SET address = NULL WHERE address IS NOT NULL");
            only(&mut update, chunk).map_err(Error::Unexpected)?;
            count_query(Purpose::Census);
            let update = ready(&mut update, chunk.len()).execute(borrowed.connection());
            gone += self.call(doing, update).await?.rows_affected();
        }
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
            "SELECT module, transport, instance, slice, registers FROM client_sketch WHERE slice >= ?",
        );
        let select = select.bind(since.get()).fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        let rows = Stored::all(rows);
        let read = rows
            .iter()
            .map(|row| sketch(row, row.bytes(4)?.unwrap_or_default()));
        read.collect::<sqlx::Result<_>>().map_err(Error::Unexpected)
    }

    async fn forget_sketches(&self, before: Micros) -> Result<u64> {
        let doing = "forgetting sketches of the census";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Census);
        let forget = sqlx::query("DELETE FROM client_sketch WHERE slice < ?").bind(before.get());
        let gone = self
            .call(doing, forget.execute(borrowed.connection()))
            .await?;
        borrowed.put_back();
        Ok(gone.rows_affected())
    }
}

impl MySqlStore {
    /// The database's clock.
    async fn clock(&self, doing: &'static str, borrowed: &mut Borrowed) -> Result<i64> {
        count_query(Purpose::Census);
        let mut clock = Statement::new("SELECT ");
        clock.push(NOW);
        let now = clock.build_query_scalar().fetch_one(borrowed.connection());
        self.call(doing, now).await
    }
}

fn insert(rows: &[StoredSighting<'_>]) -> Statement {
    let mut insert = Statement::new(
        "INSERT INTO client_census (module, client_id, agent, audience, address, first_seen, last_seen, \
         polled_at, told, pushed_at, push_until) ",
    );
    insert.push_values(rows, |mut values, row| {
        values
            .push_bind(row.seen.module.as_str().to_owned())
            .push_bind(row.seen.client_id.clone())
            .push_bind(row.seen.agent.clone())
            .push_bind(row.seen.audience.clone())
            .push_bind(row.seen.address.clone())
            .push_bind(row.first_seen)
            .push_bind(row.last_seen)
            .push_bind(row.polled_at)
            .push_bind(row.told)
            .push_bind(row.pushed_at)
            .push_bind(row.push_until);
    });
    insert.push(MERGE);
    insert
}

/// Narrows a statement down to these clients.
fn only(statement: &mut Statement, rows: &[Stored]) -> sqlx::Result<()> {
    statement.push(" AND (");
    let mut any = statement.separated(" OR ");
    for row in rows {
        any.push("(module = ")
            .push_bind_unseparated(row.text(0)?.to_owned())
            .push_unseparated(" AND client_id = ")
            .push_bind_unseparated(row.text(1)?.to_owned())
            .push_unseparated(")");
    }
    statement.push(")");
    Ok(())
}
