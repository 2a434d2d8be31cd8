//! Processes that say that they live: each under a name of its own, by the database's clock.

use std::time::Duration;

use changeover::store::{Beat, Instance};

use super::changes::module;
use crate::support::database::DatabaseUnderTest;

const LIFE: Duration = Duration::from_mins(1);

crate::on_each_database!(
    a_name_belongs_to_one_at_a_time,
    everybody_is_seen_by_the_others,
    who_is_gone_is_forgotten,
    who_looks_whether_it_may_join_is_not_in_yet,
);

fn beat(name: &str, run: i64) -> Beat<'_> {
    Beat {
        name,
        run,
        lease: LIFE,
        joined: true,
        embedded: None,
        holds: 0,
        wants: &[],
    }
}

fn dying(name: &str, run: i64) -> Beat<'_> {
    Beat {
        lease: Duration::ZERO,
        ..beat(name, run)
    }
}

async fn a_name_belongs_to_one_at_a_time(database: DatabaseUnderTest) {
    let store = database.store().await;
    let first = store.beat(&beat("gw", 1)).await.unwrap();
    assert!(first.ours && first.others.is_empty(), "{first:?}");
    let again = store.beat(&beat("gw", 1)).await.unwrap();
    assert!(again.ours && again.now >= first.now, "{again:?}");
    let beaten = store.instances().await.unwrap()[0].heartbeat;
    assert!(first.now <= beaten && beaten <= again.now, "one clock");
    let second = store.beat(&beat("gw", 2)).await.unwrap();
    assert!(!second.ours);
    assert_eq!(second.others.len(), 1, "who has it: {second:?}");
    assert_eq!(second.others[0].run, 1);
    // Names are bytes.
    assert!(store.beat(&beat("GW", 3)).await.unwrap().ours);
    // The second one cannot take the first one out; who leaves makes room.
    store.leave("gw", 2).await.unwrap();
    assert!(!store.beat(&beat("gw", 2)).await.unwrap().ours);
    store.leave("gw", 1).await.unwrap();
    assert!(store.beat(&beat("gw", 2)).await.unwrap().ours);
    // Who has died makes room too, and finds its place taken when it wakes up.
    store.beat(&dying("gw", 2)).await.unwrap();
    assert!(store.beat(&beat("gw", 4)).await.unwrap().ours);
    assert!(!store.beat(&beat("gw", 2)).await.unwrap().ours);
}

async fn everybody_is_seen_by_the_others(database: DatabaseUnderTest) {
    let (store, other) = (database.store().await, database.open().await);
    let wants = [module("orders"), module("a-b_c")];
    let told = Beat {
        embedded: Some("local"),
        holds: 7,
        wants: &wants,
        ..beat("a", 1)
    };
    store.beat(&told).await.unwrap();
    store.beat(&told).await.unwrap();
    store.beat(&dying("dead", 2)).await.unwrap();
    let found = other.beat(&beat("b", 3)).await.unwrap();
    assert!(found.ours);
    let [a, dead] = &found.others[..] else {
        panic!("{found:?}");
    };
    let expected = Instance {
        name: "a".to_owned(),
        run: 1,
        since: a.since,
        heartbeat: a.heartbeat,
        alive: true,
        embedded: Some("local".to_owned()),
        holds: 7,
        wants: wants.to_vec(),
    };
    assert_eq!(*a, expected);
    assert!(a.since.is_some_and(|since| since <= a.heartbeat));
    assert!(!dead.alive && dead.name == "dead");
    let all = store.instances().await.unwrap();
    let names: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "dead"]);
    // What one asks for no more is gone.
    store.beat(&beat("a", 1)).await.unwrap();
    let found = other.beat(&beat("b", 3)).await.unwrap();
    assert!(found.others[0].wants.is_empty() && found.others[0].embedded.is_none());
    assert_eq!(found.others[0].since, a.since, "it is the same process");
}

async fn who_looks_whether_it_may_join_is_not_in_yet(database: DatabaseUnderTest) {
    let store = database.store().await;
    let looking = Beat {
        joined: false,
        ..beat("gw", 1)
    };
    let since = async || store.instances().await.unwrap()[0].since;
    assert!(store.beat(&looking).await.unwrap().ours);
    assert_eq!(since().await, None);
    assert!(store.beat(&looking).await.unwrap().ours);
    assert_eq!(since().await, None);
    store.beat(&beat("gw", 1)).await.unwrap();
    let joined = since().await;
    assert!(joined.is_some());
    // What another process of the name leaves behind is not its own.
    store.beat(&dying("gw", 1)).await.unwrap();
    assert_eq!(since().await, joined);
    let next = Beat { run: 2, ..looking };
    assert!(store.beat(&next).await.unwrap().ours);
    assert_eq!(since().await, None);
}

async fn who_is_gone_is_forgotten(database: DatabaseUnderTest) {
    let store = database.store().await;
    store.beat(&beat("alive", 1)).await.unwrap();
    store.beat(&dying("dead", 2)).await.unwrap();
    let long = store.forget_instances(LIFE).await.unwrap();
    assert_eq!(long, 0, "it has died only just now");
    crate::support::eventually("the dead one is forgotten", LIFE, async || {
        let forgotten = store.forget_instances(Duration::ZERO).await.unwrap();
        (forgotten == 1).then_some(())
    })
    .await;
    let left = store.instances().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].name, "alive");
    // And may come back, if nobody has its name.
    assert!(store.beat(&beat("dead", 2)).await.unwrap().ours);
}
