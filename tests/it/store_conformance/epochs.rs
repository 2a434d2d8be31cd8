//! A new epoch: everything in one transaction, above every position known, and nobody numbers meanwhile.

use std::time::{Duration, Instant};

use changeover::{
    domain::{Audience, Cursor, Epoch, Micros, Position},
    store::{EpochBump, Error, Ground, MirrorCursor},
    telemetry::Purpose,
};
use tokio::time::sleep;

use super::{
    changes::{LEASE, change, held, module, number},
    numbering::read,
};
use crate::support::database::{DatabaseUnderTest, Kind};

crate::on_each_database!(
    begin_with_everything_above_what_was_known,
    begin_only_on_a_ground_that_holds,
    show_what_lies_beyond_the_heads,
    look_at_the_last_row_of_a_log_only,
    follow_one_another,
);

fn cursor(epoch: u32, position: u64) -> Cursor {
    Cursor::new(Epoch::new(epoch), Position::new(position))
}

fn bump(name: &str, ground: Ground, witnessed: Option<Cursor>) -> EpochBump {
    EpochBump {
        module: module(name),
        ground,
        witnessed,
        witnessed_time: Micros::default(),
        pace: None,
        actor: "ann".to_owned(),
        reason: "restored".to_owned(),
    }
}

async fn begin_with_everything_above_what_was_known(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("one");
    let lease = held(&store, &name).await;
    let other = held(&store, &module("other")).await;
    for key in ["a", "b", "c", "a"] {
        store.append(&[change(&name, "*", key, "1")]).await.unwrap();
    }
    store
        .append(&[change(&other.module, "*", "x", "1")])
        .await
        .unwrap();
    number(&store, &lease).await.unwrap();
    number(&store, &other).await.unwrap();
    let row = MirrorCursor {
        module: name.clone(),
        cursor: cursor(1, 3),
        generation: 5,
        version: 0,
    };
    store
        .write_mirror_cursors("t", &[(lease.clone(), row)])
        .await
        .unwrap();
    let through = store.heads(Purpose::Tail).await.unwrap()[0].sequenced_through;

    let wanted = bump("one", Ground::Asked, Some(cursor(1, 1_700_000)));
    let tried = store.try_epoch(&wanted).await.unwrap();
    assert_eq!(
        store.heads(Purpose::Tail).await.unwrap()[0].epoch,
        Epoch::FIRST
    );
    let bumped = store.bump_epoch(&wanted, LEASE).await.unwrap().unwrap();
    assert_eq!(bumped, tried);
    assert_eq!(bumped.before.cursor(), cursor(1, 4));
    assert_eq!(bumped.after.cursor(), cursor(2, 3_000_000));
    assert_eq!(bumped.after.retained_from, Position::new(3_000_001));

    let heads = store.heads(Purpose::Tail).await.unwrap();
    assert_eq!(heads[0].cursor(), bumped.after.cursor());
    assert_eq!(heads[0].retained_from, bumped.after.retained_from);
    assert!(heads[0].lease_vacant && heads[0].sequenced_through >= through);
    assert_eq!(heads[1].cursor(), cursor(1, 1), "the other module stays");
    let everyone = [Audience::everyone()];
    let state = store
        .read_state(read(&name, &everyone, 1_700_000, 100), true, Purpose::State)
        .await
        .unwrap();
    let state: Vec<_> = state
        .iter()
        .map(|item| (&*item.key, item.position.get()))
        .collect();
    let expected = [("b", 2_999_998), ("c", 2_999_999), ("a", 3_000_000)];
    assert_eq!(state, expected, "in its order, and all of it above");
    let stored = store.mirror_cursors("t").await.unwrap();
    assert_eq!(
        (stored[0].cursor, stored[0].generation, stored[0].version),
        (bumped.after.cursor(), 6, 2)
    );
    let audit = store.audit(Some(&name), None, 10).await.unwrap();
    assert_eq!(audit.len(), 1);
    assert_eq!(
        (&*audit[0].actor, &*audit[0].action, &*audit[0].reason),
        ("ann", "epoch", "restored")
    );
    assert_eq!(audit[0].after["epoch"], 2);
    assert_eq!(audit[0].before["head"], 4);

    // Whoever held the lease writes no more, and a token of the lost history is worth nothing.
    store.append(&[change(&name, "*", "d", "1")]).await.unwrap();
    let late = number(&store, &lease).await;
    assert!(matches!(late, Err(Error::LeaseLost { .. })), "{late:?}");
    let lease = held(&store, &name).await;
    assert!(lease.token > 1_000_000);
    number(&store, &lease).await.unwrap();
    let rows = store
        .rows_after(&[(name, Position::new(4))], 10, Purpose::Tail)
        .await
        .unwrap();
    assert_eq!(rows[0].1.cursor(), cursor(2, 3_000_001));
}

async fn begin_only_on_a_ground_that_holds(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("one");
    let lease = held(&store, &name).await;
    store.append(&[change(&name, "*", "k", "1")]).await.unwrap();
    number(&store, &lease).await.unwrap();
    let try_on = async |ground, witnessed| {
        let bump = bump("one", ground, Some(witnessed));
        store.bump_epoch(&bump, LEASE).await.unwrap()
    };
    let beyond = |under| Ground::Beyond { under };
    assert_eq!(try_on(beyond(None), cursor(1, 1)).await, None);
    assert_eq!(
        try_on(beyond(Some(lease.token + 1)), cursor(1, 1)).await,
        None
    );
    number(&store, &lease).await.unwrap();
    assert_eq!(store.audit(None, None, 10).await.unwrap(), []);
    let first = try_on(beyond(None), cursor(1, 2)).await.unwrap();
    assert_eq!(first.after.cursor(), cursor(2, 1_000_000));
    assert_eq!(
        try_on(beyond(None), cursor(1, 2)).await,
        None,
        "another replica was quicker"
    );
    let lease = held(&store, &name).await;
    let passed = beyond(Some(lease.token));
    let second = try_on(passed, cursor(2, 900_000)).await.unwrap();
    assert_eq!(second.after.epoch, Epoch::new(3));
    // An older copy may not know the module at all.
    let absent = bump("absent", beyond(None), Some(cursor(7, 9)));
    let bumped = store.bump_epoch(&absent, LEASE).await.unwrap().unwrap();
    assert_eq!(bumped.after.cursor(), cursor(8, 1_000_000));
}

async fn show_what_lies_beyond_the_heads(database: DatabaseUnderTest) {
    let store = database.store().await;
    let lease = held(&store, &module("one")).await;
    assert_eq!(store.beyond_heads().await.unwrap(), []);
    let row = MirrorCursor {
        module: module("one"),
        cursor: cursor(1, 9),
        generation: 0,
        version: 0,
    };
    store
        .write_mirror_cursors("t", &[(lease, row)])
        .await
        .unwrap();
    let beyond = store.beyond_heads().await.unwrap();
    assert_eq!(beyond, [(module("one"), cursor(1, 9))]);

    let other = held(&store, &module("other")).await;
    for key in ["a", "b", "c"] {
        let row = change(&other.module, "*", key, "1");
        store.append(&[row]).await.unwrap();
    }
    number(&store, &other).await.unwrap();
    assert_eq!(store.beyond_heads().await.unwrap(), beyond);
    let restored = "UPDATE module_head SET head = 1 WHERE module = 'other'";
    database.execute(restored).await;
    let mut beyond = store.beyond_heads().await.unwrap();
    beyond.sort();
    assert_eq!(
        beyond,
        [
            (module("one"), cursor(1, 9)),
            (module("other"), cursor(1, 3))
        ]
    );
}

/// Whatever the size of the log: it is asked within a lease. MariaDB counts by itself, and SQLite's plan does not
/// depend on sizes.
async fn look_at_the_last_row_of_a_log_only(database: DatabaseUnderTest) {
    if database.kind != Kind::Postgres {
        return;
    }
    let store = database.store().await;
    for fill in [
        "INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, previous, \
                                 occurred_at, sequenced_at) \
         SELECT 'big', i, 1, '*', 'k' || i, 'upsert', '1', 0, 1, i FROM generate_series(1, 40000) i",
        "INSERT INTO module_head (module, head) VALUES ('big', 40000)",
        "VACUUM ANALYZE change_log",
    ] {
        database.execute(fill).await;
    }
    assert_eq!(store.beyond_heads().await.unwrap(), []);
    // What a session has read is known once it has ended.
    drop(store);
    let alone =
        "SELECT (count(*) = 1)::text FROM pg_stat_activity WHERE datname = current_database()";
    let deadline = Instant::now() + Duration::from_mins(1);
    while database.text(alone).await.as_deref() != Some("true") {
        assert!(Instant::now() < deadline, "sessions go on");
        sleep(Duration::from_millis(20)).await;
    }
    let read = "SELECT (seq_tup_read + coalesce(idx_tup_fetch, 0))::text FROM pg_stat_user_tables \
                WHERE relname = 'change_log'";
    let read: u64 = database.text(read).await.unwrap().parse().unwrap();
    assert!(read < 1_000, "{read} rows read");
}

async fn follow_one_another(database: DatabaseUnderTest) {
    let store = database.store().await;
    let name = module("one");
    for round in 1..=5_u64 {
        let lease = held(&store, &name).await;
        for key in ["a", "b", "c"] {
            let value = round.to_string();
            store
                .append(&[change(&name, "*", key, &value)])
                .await
                .unwrap();
        }
        number(&store, &lease).await.unwrap();
        let wanted = bump("one", Ground::Asked, None);
        let bumped = store.bump_epoch(&wanted, LEASE).await.unwrap().unwrap();
        assert_eq!(u64::from(bumped.after.epoch.get()), round + 1);
        assert!(bumped.after.head > bumped.before.head);
        assert!(bumped.after.head.get() <= round * 2_000_000);
        let everyone = [Audience::everyone()];
        let after = bumped.before.head.get();
        let state = store
            .read_state(read(&name, &everyone, after, 9), true, Purpose::State)
            .await
            .unwrap();
        assert_eq!(
            state.len(),
            3,
            "all of the state is above the head of before"
        );
    }
}
