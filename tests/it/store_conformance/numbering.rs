//! From the outbox into the log: byte for byte, all or nothing.

use std::{collections::HashSet, time::Duration};

use changeover::{
    domain::{Audience, NewChange, Op, Position},
    store::{Batch, Beyond, ChannelRead, Error, HeadUpdate, Scan, Share},
    telemetry::Purpose,
};

use super::changes::{EVERYTHING, LEASE, change, held, module, number, waiting};
use crate::support::database::{DatabaseUnderTest, Kind};

crate::on_each_database!(
    keeps_every_byte,
    keeps_alike_names_apart,
    scans_by_module_floor_rows_and_bytes,
    rolls_back_when_a_row_is_gone,
    rolls_back_when_dropped,
    remembers_change_ids,
    knows_the_last_position_of_a_channel,
    takes_what_sixteen_writers_append,
    refuses_the_null_character,
    reads_rows_that_omit_what_may_be_omitted,
    passes_a_paused_writer_by,
);

const VALUES: [&str; 9] = [
    "1.10",
    "1e3",
    "12345678901234567890",
    "[]",
    r#"{"b":1,"a":[ 1 ,2 ],"b":2}"#,
    r#""a\u0000b\/\ud83d\ude00""#,
    "\"é e\u{301} 日本 😀 \u{7f}\"",
    r#"{"deep":[[[[[[{"x":null}]]]]]]}"#,
    "-0.0",
];

pub async fn keeps_every_byte(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("bytes");
    let lease = held(&store, &name).await;
    let appended: Vec<NewChange> = VALUES
        .iter()
        .enumerate()
        .map(|(number, value)| NewChange {
            change_id: (number % 2 == 0).then(|| format!("id {number}").into()),
            op: if number == 3 { Op::Delete } else { Op::Upsert },
            ..change(&name, "*", &format!("k\"{number}\\"), value)
        })
        .collect();
    store.append(&appended).await.unwrap();
    number(&store, &lease).await.unwrap();
    let rows = store
        .rows_after(&[(name.clone(), Position::ZERO)], 100, Purpose::Tail)
        .await
        .unwrap();
    for (number, ((module, row), given)) in rows.iter().zip(&appended).enumerate() {
        assert_eq!(module, &name);
        assert_eq!(row.position.get(), number as u64 + 1);
        assert_eq!(row.previous.get(), number as u64);
        assert_eq!(row.value, given.value);
        assert_eq!(
            (&row.key, row.op, &row.change_id),
            (&given.key, given.op, &given.change_id)
        );
        assert_eq!(Some(row.occurred_at), given.occurred_at);
    }
    assert_eq!(rows.len(), appended.len());
    assert_eq!(store.outbox_depth(10).await.unwrap(), 0);
}

async fn keeps_alike_names_apart(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("names");
    let lease = held(&store, &name).await;
    let names = ["U1", "u1", "u1 ", " u1", "\u{e9}", "e\u{301}", "ß", "ss"];
    let all = |key: &str| names.map(|audience| change(&name, audience, key, "1"));
    store.append(&all("k")).await.unwrap();
    store
        .append(&names.map(|key| change(&name, "*", key, "2")))
        .await
        .unwrap();
    number(&store, &lease).await.unwrap();
    for (place, audience) in names.iter().enumerate() {
        let audiences = [Audience::new(audience, 64).unwrap()];
        let page = store
            .read_log(read(&name, &audiences, 0, 100), Purpose::Catchup)
            .await
            .unwrap();
        assert_eq!(page.changes.len(), 1, "{audience:?}");
        assert_eq!(page.changes[0].position.get(), place as u64 + 1);
        assert_eq!(page.changes[0].previous, Position::ZERO);
    }
    let everyone = [Audience::everyone()];
    let state = store
        .read_state(read(&name, &everyone, 0, 100), true, Purpose::State)
        .await
        .unwrap();
    assert_eq!(
        state.iter().map(|item| &*item.key).collect::<Vec<_>>(),
        names
    );
}

pub fn read<'a>(
    module: &'a changeover::domain::ModuleName,
    audiences: &'a [Audience],
    after: u64,
    limit: u32,
) -> ChannelRead<'a> {
    let through = Position::new(u64::MAX);
    ChannelRead {
        module,
        audiences,
        after: Position::new(after),
        through,
        limit,
    }
}

async fn scans_by_module_floor_rows_and_bytes(database: DatabaseUnderTest) {
    let store = database.store().await;
    let (one, two) = (module("one"), module("two"));
    let ours = [one.clone()];
    let big = format!("\"{}\"", "x".repeat(1_000));
    let rows = [&one, &two, &one, &two, &one].map(|name| change(name, "*", "k", &big));
    store.append(&rows).await.unwrap();
    let ids = async |modules: &[_], except, beyond, rows, bytes| {
        let scan = Scan {
            modules,
            except,
            beyond,
            rows,
            bytes,
        };
        let found = store.scan_outbox(scan).await.unwrap();
        found.rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let all = Beyond::Nothing;
    let ones = ids(&ours, false, all, 10, EVERYTHING).await;
    let twos = ids(&ours, true, all, 10, EVERYTHING).await;
    assert_eq!((ones.len(), twos.len()), (3, 2));
    assert!(ones[0] < twos[0] && twos[1] < ones[2]);
    assert_eq!(
        ids(&ours, false, Beyond::Id(ones[0]), 10, EVERYTHING).await,
        ones[1..]
    );
    assert_eq!(ids(&ours, false, all, 2, EVERYTHING).await, ones[..2]);
    assert_eq!(ids(&ours, false, all, 10, 2_500).await, ones[..2]);
    assert_eq!(ids(&ours, false, all, 10, 1).await, ones[..1]);
    assert_eq!(ids(&[], true, all, 10, EVERYTHING).await.len(), 5);
    assert_eq!(store.outbox_depth(3).await.unwrap(), 3);
}

async fn rolls_back_when_a_row_is_gone(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("gone");
    let lease = held(&store, &name).await;
    store.append(&[change(&name, "*", "k", "1")]).await.unwrap();
    let id = waiting(&store, std::slice::from_ref(&name)).await[0].id;
    let mut tx = store
        .begin_numbering(std::slice::from_ref(&lease))
        .await
        .unwrap();
    let head = HeadUpdate {
        lease: lease.clone(),
        head: Position::new(9),
        sequenced_through: tx.now(),
        stateless_from: None,
    };
    let batch = Batch {
        delete: vec![id, id + 1_000],
        heads: vec![head],
        ..Batch::default()
    };
    let error = tx.write(&batch, LEASE).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::OutboxChanged {
                expected: 2,
                deleted: 1
            }
        ),
        "{error}"
    );
    drop(tx);
    assert_eq!(waiting(&store, std::slice::from_ref(&name)).await.len(), 1);
    number(&store, &lease).await.unwrap();
    let heads = store.heads(Purpose::Tail).await.unwrap();
    assert_eq!(heads[0].head, Position::new(1));
}

async fn rolls_back_when_dropped(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("dropped");
    let lease = held(&store, &name).await;
    store.append(&[change(&name, "*", "k", "1")]).await.unwrap();
    let id = waiting(&store, std::slice::from_ref(&name)).await[0].id;
    for _ in 0..3 {
        let mut tx = store
            .begin_numbering(std::slice::from_ref(&lease))
            .await
            .unwrap();
        assert_eq!(tx.heads()[0].head, Position::ZERO);
        let head = HeadUpdate {
            lease: lease.clone(),
            head: Position::new(9),
            sequenced_through: tx.now(),
            stateless_from: None,
        };
        let batch = Batch {
            delete: vec![id],
            heads: vec![head],
            ..Batch::default()
        };
        tx.write(&batch, LEASE).await.unwrap();
    }
    number(&store, &lease).await.unwrap();
    assert_eq!(
        store.heads(Purpose::Tail).await.unwrap()[0].head,
        Position::new(1)
    );
}

async fn remembers_change_ids(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("ids");
    let lease = held(&store, &name).await;
    let known = NewChange {
        change_id: Some("known".into()),
        ..change(&name, "*", "k", "1")
    };
    store.append(&[known]).await.unwrap();
    number(&store, &lease).await.unwrap();
    let asked = ["known", "Known", "new"].map(|id| (name.clone(), id.into()));
    let mut tx = store
        .begin_numbering(std::slice::from_ref(&lease))
        .await
        .unwrap();
    assert_eq!(
        tx.seen(&asked).await.unwrap(),
        HashSet::from([asked[0].clone()])
    );
    drop(tx);
    let hour = Duration::from_hours(1);
    assert_eq!(store.forget_seen(hour, 10).await.unwrap(), 0);
    assert_eq!(store.forget_seen(Duration::ZERO, 10).await.unwrap(), 1);
    let mut tx = store
        .begin_numbering(std::slice::from_ref(&lease))
        .await
        .unwrap();
    assert_eq!(tx.seen(&asked).await.unwrap(), HashSet::new());
}

async fn knows_the_last_position_of_a_channel(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("last");
    let lease = held(&store, &name).await;
    let rows = ["a", "b", "a"].map(|audience| change(&name, audience, "k", "1"));
    store.append(&rows).await.unwrap();
    number(&store, &lease).await.unwrap();
    let channel = |audience: &str| (name.clone(), Audience::new(audience, 64).unwrap());
    let mut tx = store
        .begin_numbering(std::slice::from_ref(&lease))
        .await
        .unwrap();
    let last = tx
        .last_positions(&["a", "b", "c"].map(channel))
        .await
        .unwrap();
    assert_eq!(last.len(), 2);
    assert_eq!(last[&channel("a")], Position::new(3));
    assert_eq!(last[&channel("b")], Position::new(2));
}

async fn takes_what_sixteen_writers_append(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("many");
    let lease = held(&store, &name).await;
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let (store, name) = (store.clone(), name.clone());
            tokio::spawn(async move {
                for row in 0..10 {
                    let key = format!("{writer}-{row}");
                    store
                        .append(&[change(&name, "*", &key, "1")])
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    number(&store, &lease).await.unwrap();
    let rows = store
        .rows_after(&[(name, Position::ZERO)], 1_000, Purpose::Tail)
        .await
        .unwrap();
    let keys: HashSet<_> = rows.iter().map(|(_, row)| row.key.clone()).collect();
    assert_eq!((rows.len(), keys.len()), (160, 160));
}

async fn refuses_the_null_character(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("null");
    let bad = NewChange {
        key: "a\0b".into(),
        ..change(&name, "*", "k", "1")
    };
    let error = store
        .append(&[change(&name, "*", "good", "1"), bad])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert_eq!(store.outbox_depth(10).await.unwrap(), 0);
}

async fn reads_rows_that_omit_what_may_be_omitted(database: DatabaseUnderTest) {
    let store = database.store().await;
    database
        .execute("INSERT INTO outbox (module, entity_key, value) VALUES ('sql', 'k', '1')")
        .await;
    database
        .execute(
            "INSERT INTO outbox (module, audience, entity_key, op, occurred_at) \
             VALUES ('sql', NULL, 'k', 'delete', NULL)",
        )
        .await;
    let rows = waiting(&store, &[module("sql")]).await;
    assert_eq!(rows[0].audience.as_deref(), Some(b"*".as_slice()));
    assert_eq!(rows[0].op.as_deref(), Some(b"upsert".as_slice()));
    let now = changeover::domain::Micros::from(std::time::SystemTime::now());
    let age = now.get() - rows[0].occurred_at.unwrap();
    assert!((-1_000_000..60_000_000).contains(&age), "{age}");
    assert_eq!(
        (&rows[1].audience, &rows[1].value, rows[1].occurred_at),
        (&None, &None, None)
    );
    let mut producer = database.producer().await;
    let missing = "INSERT INTO outbox (module, entity_key) VALUES ('sql', 'k')";
    assert!(producer.try_execute(missing).await.is_err());
}

/// On a server a writer that stops behind its fence holds the row for half a lease at most; on SQLite
/// only a process that is stopped can do so, and then nobody writes.
async fn passes_a_paused_writer_by(database: DatabaseUnderTest) {
    if database.kind == Kind::Sqlite {
        return;
    }
    let (old, new) = (database.store().await, database.open().await);
    let name = module("paused");
    let names = [name.clone()];
    old.ensure_modules(&names).await.unwrap();
    let late = old.acquire(&names, "old", LEASE, Share::ALL).await.unwrap();
    let started = std::time::Instant::now();
    let mut paused = old.begin_numbering(&late).await.unwrap();
    let lease = loop {
        // A busy machine may not answer in time.
        let taken = new.acquire(&names, "new", LEASE, Share::ALL).await;
        let taken = taken.unwrap_or_default();
        if let Some(lease) = taken.into_iter().next() {
            break lease;
        }
        assert!(
            started.elapsed() < 20 * LEASE,
            "the paused holder blocks its successor"
        );
    };
    new.append(&[change(&name, "*", "k", "1")]).await.unwrap();
    number(&new, &lease).await.unwrap();
    let batch = Batch::default();
    assert!(
        paused.write(&batch, LEASE).await.is_ok(),
        "an empty batch asks nothing of the database"
    );
    assert!(matches!(
        paused.commit().await,
        Err(Error::Unavailable { .. })
    ));
    assert!(matches!(
        number(&old, &late[0]).await,
        Err(Error::LeaseLost { .. })
    ));
}
