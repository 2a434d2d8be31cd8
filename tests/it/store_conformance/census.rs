//! Clients as all replicas know them: merged in any order, counted once, read in pages, forgotten in time.

use std::time::Duration;

use changeover::{
    domain::{Micros, Transport},
    store::{Ago, ClientFilter, Crowd, KnownClient, Sighting, Sketch, Store, Told},
};

use super::changes::module;
use crate::support::database::DatabaseUnderTest;

const DAY: Duration = Duration::from_hours(24);
const SECOND: i64 = 1_000_000;

crate::on_each_database!(
    the_later_sighting_counts_whoever_writes_last,
    each_client_counts_once_and_how_it_was_seen_last,
    who_still_polls_is_named,
    clients_come_in_pages_and_by_what_is_known_of_them,
    who_was_not_seen_for_long_is_forgotten,
    who_polls_without_a_row_is_no_exact_count,
    addresses_are_forgotten_in_steps,
    sketches_are_replaced_and_forgotten,
    replicas_write_the_same_clients_at_once,
);

fn seen(client: &str) -> Sighting {
    Sighting {
        module: module("orders"),
        client_id: client.into(),
        agent: "Terminal/1".into(),
        audience: None,
        address: None,
        first_seen: Ago::micros(0),
        polled: None,
        pushed: None,
    }
}

fn polled(client: &str, seconds_ago: i64, told: Told) -> Sighting {
    let ago = Ago::micros(seconds_ago * SECOND);
    Sighting {
        first_seen: ago,
        polled: Some((ago, told)),
        ..seen(client)
    }
}

fn pushed(client: &str, seconds_ago: i64, holds_for_seconds: i64) -> Sighting {
    let ago = Ago::micros(seconds_ago * SECOND);
    let until = Ago::micros((seconds_ago - holds_for_seconds) * SECOND);
    Sighting {
        first_seen: ago,
        pushed: Some((ago, until)),
        ..seen(client)
    }
}

async fn all(store: &dyn Store) -> Vec<KnownClient> {
    let filter = ClientFilter {
        within: DAY,
        limit: 100,
        ..ClientFilter::default()
    };
    store.clients(&filter).await.unwrap()
}

async fn counts(store: &dyn Store) -> (u64, u64, u64) {
    let counts = store.count_clients(DAY).await.unwrap();
    let [count] = counts.as_slice() else {
        panic!("one module: {counts:?}");
    };
    assert_eq!(count.module, module("orders"));
    (count.push, count.poll, count.fell_back)
}

async fn the_later_sighting_counts_whoever_writes_last(database: DatabaseUnderTest) {
    let store = database.store().await;
    let late = Sighting {
        agent: "Terminal/2".into(),
        audience: Some("u1".into()),
        address: Some("10.0.0.2".into()),
        ..polled("a", 10, Told::Push)
    };
    let early = Sighting {
        agent: "Terminal/1".into(),
        audience: Some("u0".into()),
        ..polled("a", 60, Told::Poll)
    };
    let push = Sighting {
        agent: "".into(),
        ..pushed("a", 30, 20)
    };
    let orders = [[0, 1, 2], [2, 1, 0], [1, 2, 0]];
    for (n, order) in orders.into_iter().enumerate() {
        let sightings = [&late, &early, &push];
        for one in order {
            let client_id = format!("a{n}").into();
            let sighting = Sighting {
                client_id,
                ..sightings[one].clone()
            };
            // Once more changes nothing.
            for _ in 0..2 {
                let again = std::slice::from_ref(&sighting);
                store.note_clients(again).await.unwrap();
            }
        }
    }
    let known = all(&*store).await;
    assert_eq!(known.len(), orders.len());
    for client in known {
        assert_eq!(client.agent, "Terminal/2", "{client:?}");
        assert_eq!(client.audience.as_deref(), Some("u1"));
        assert_eq!(client.address.as_deref(), Some("10.0.0.2"));
        assert_eq!(client.told, Told::Push);
        let polled = client.polled_at.unwrap();
        assert_eq!(client.last_seen, polled);
        let about = |later: Micros, earlier: Micros, seconds: u64| {
            let between = later.since(earlier).as_secs_f64();
            // The three are written one after the other.
            #[expect(clippy::cast_precision_loss, reason = "seconds of a test")]
            let off = (between - seconds as f64).abs();
            assert!(off < 15.0, "{client:?}");
        };
        about(polled, client.first_seen, 50);
        about(polled, client.pushed_at.unwrap(), 20);
        about(client.push_until, client.pushed_at.unwrap(), 20);
    }
}

async fn each_client_counts_once_and_how_it_was_seen_last(database: DatabaseUnderTest) {
    let store = database.store().await;
    let both = |poll: Sighting, push: Sighting| Sighting {
        pushed: push.pushed,
        ..poll
    };
    let cases = [
        (polled("poll", 10, Told::Poll), Transport::Poll, false),
        (
            polled("told", 10, Told::PushForLong),
            Transport::Poll,
            false,
        ),
        (pushed("push", 10, 60), Transport::Push, false),
        (pushed("lapsed", 100, 60), Transport::Push, false),
        (
            both(polled("safe", 10, Told::PushForLong), pushed("", 20, 60)),
            Transport::Push,
            false,
        ),
        (
            both(polled("back", 10, Told::Poll), pushed("", 20, 60)),
            Transport::Poll,
            false,
        ),
        (
            both(polled("new", 10, Told::Push), pushed("", 100, 60)),
            Transport::Poll,
            false,
        ),
        (
            both(polled("fell", 10, Told::PushForLong), pushed("", 100, 60)),
            Transport::Poll,
            true,
        ),
        (
            both(polled("up", 30, Told::PushForLong), pushed("", 10, 60)),
            Transport::Push,
            false,
        ),
    ];
    let sightings: Vec<_> = cases.iter().map(|(seen, ..)| seen.clone()).collect();
    store.note_clients(&sightings).await.unwrap();
    for client in all(&*store).await {
        let case = cases
            .iter()
            .find(|(seen, ..)| *seen.client_id == *client.client_id);
        let (_, transport, fell_back) = case.unwrap();
        assert_eq!(client.transport(), *transport, "{client:?}");
        assert_eq!(client.fell_back(), *fell_back, "{client:?}");
    }
    assert_eq!(counts(&*store).await, (4, 5, 1));
    let now = store.count_clients(Duration::from_secs(5)).await.unwrap();
    assert_eq!(now, [], "nobody was seen in the last seconds");
}

async fn who_still_polls_is_named(database: DatabaseUnderTest) {
    let store = database.store().await;
    let mut sightings: Vec<_> = (0..30)
        .map(|n| polled(&format!("t{n:02}"), 60, Told::PushForLong))
        .collect();
    sightings.push(Sighting {
        agent: "Kiosk/9".into(),
        ..polled("kiosk", 30, Told::Push)
    });
    sightings.push(pushed("gone", 10, 60));
    sightings.push(polled("old", 7_200, Told::Poll));
    store.note_clients(&sightings).await.unwrap();
    let hour = Duration::from_hours(1);
    let found = store.pollers(&module("orders"), hour, 3).await.unwrap();
    assert_eq!(
        (found.total, found.agents_total, found.is_exact),
        (31, 2, true)
    );
    let names: Vec<_> = found
        .clients
        .iter()
        .map(|one| one.client_id.as_str())
        .collect();
    assert_eq!(names, ["kiosk", "t00", "t01"]);
    let agents: Vec<_> = found
        .agents
        .iter()
        .map(|one| (one.agent.as_str(), one.clients))
        .collect();
    assert_eq!(agents, [("Terminal/1", 30), ("Kiosk/9", 1)]);
    assert!(found.agents[1].polled_at > found.agents[0].polled_at);
    let none = store.pollers(&module("other"), hour, 3).await.unwrap();
    assert_eq!((none.total, none.agents_total), (0, 0));
}

async fn clients_come_in_pages_and_by_what_is_known_of_them(database: DatabaseUnderTest) {
    let store = database.store().await;
    let mut sightings = Vec::new();
    for name in ["prices", "orders", "a"] {
        for client in ["T1", "t1", "t_1", "t2"] {
            sightings.push(Sighting {
                module: module(name),
                agent: format!("App [{client}]").into(),
                ..polled(client, 10, Told::Poll)
            });
        }
    }
    sightings.push(pushed("push", 5, 60));
    // Those without an id.
    sightings.push(polled("", 10, Told::Poll));
    store.note_clients(&sightings).await.unwrap();
    let mut read = Vec::new();
    let mut after = None;
    loop {
        let filter = ClientFilter {
            within: DAY,
            limit: 5,
            after: after.take(),
            ..ClientFilter::default()
        };
        let page = store.clients(&filter).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.module.to_string(), last.client_id.clone()));
        let names = page
            .iter()
            .map(|one| format!("{} {}", one.module, one.client_id));
        read.extend(names);
    }
    let mut expected: Vec<_> = sightings
        .iter()
        .map(|one| format!("{} {}", one.module, one.client_id))
        .collect();
    expected.sort_unstable();
    assert_eq!(read, expected);
    let ask = async |transport, agent: Option<&str>, within| {
        let filter = ClientFilter {
            module: Some(module("orders")),
            transport,
            agent: agent.map(|agent| agent.parse().unwrap()),
            within,
            limit: 10,
            ..ClientFilter::default()
        };
        let found = store.clients(&filter).await.unwrap();
        assert!(found.iter().all(|one| one.module == module("orders")));
        found
            .into_iter()
            .map(|one| one.client_id)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ask(None, None, DAY).await,
        ["", "T1", "push", "t1", "t2", "t_1"]
    );
    assert_eq!(ask(Some(Transport::Push), None, DAY).await, ["push"]);
    assert_eq!(ask(Some(Transport::Poll), None, DAY).await.len(), 5);
    assert_eq!(ask(None, Some("App [t1]"), DAY).await, ["t1"]);
    assert_eq!(ask(None, Some("App [t_1]"), DAY).await, ["t_1"]);
    assert_eq!(ask(None, Some("*t?1*"), DAY).await, [""; 0]);
    assert_eq!(ask(None, Some("*1]"), DAY).await, ["T1", "t1", "t_1"]);
    assert_eq!(ask(None, None, Duration::from_secs(8)).await, ["push"]);
}

async fn who_was_not_seen_for_long_is_forgotten(database: DatabaseUnderTest) {
    let store = database.store().await;
    let sightings: Vec<_> = (0..20)
        .map(|n| polled(&format!("t{n:02}"), n * 3_600, Told::Poll))
        .collect();
    store.note_clients(&sightings).await.unwrap();
    let long = Duration::from_mins(9 * 60 + 30);
    assert_eq!(store.forget_clients(long, 4).await.unwrap(), 4);
    let oldest = all(&*store).await;
    assert_eq!(
        oldest.last().unwrap().client_id,
        "t15",
        "the oldest go first"
    );
    assert_eq!(store.forget_clients(long, 100).await.unwrap(), 6);
    assert_eq!(store.forget_clients(long, 100).await.unwrap(), 0);
    assert_eq!(all(&*store).await.len(), 10);
}

async fn who_polls_without_a_row_is_no_exact_count(database: DatabaseUnderTest) {
    let store = database.store().await;
    let exact = async || {
        let counts = store.count_clients(DAY).await.unwrap();
        let counted = counts.iter().map(|count| count.is_exact).collect();
        let pollers = store.pollers(&module("orders"), DAY, 1).await.unwrap();
        let counted: Vec<bool> = counted;
        (counted, pollers.is_exact)
    };
    let elsewhere = Sighting {
        module: module("prices"),
        ..polled("", 10, Told::Poll)
    };
    let sightings = [polled("a", 10, Told::Poll), pushed("", 10, 60), elsewhere];
    store.note_clients(&sightings).await.unwrap();
    let sketch = |crowd| Sketch {
        module: module("orders"),
        crowd,
        instance: "a".to_owned(),
        slice: Micros::new(1),
        registers: vec![1; 4_096],
    };
    store
        .write_sketches(&[sketch(Crowd::Push), sketch(Crowd::Unnamed)])
        .await
        .unwrap();
    assert_eq!(exact().await, (vec![true, false], true));
    store.write_sketches(&[sketch(Crowd::Poll)]).await.unwrap();
    assert_eq!(exact().await, (vec![false, false], false));
    store.forget_sketches(Micros::new(2)).await.unwrap();
    assert_eq!(exact().await, (vec![true, false], true));
    let unnamed = [polled("", 5, Told::Push)];
    store.note_clients(&unnamed).await.unwrap();
    assert_eq!(exact().await, (vec![false, false], false));
}

async fn addresses_are_forgotten_in_steps(database: DatabaseUnderTest) {
    let store = database.store().await;
    let sightings: Vec<_> = (0..12)
        .map(|n| Sighting {
            address: (n != 3).then(|| "10.0.0.2".into()),
            ..polled(&format!("t{n:02}"), n, Told::Poll)
        })
        .collect();
    store.note_clients(&sightings).await.unwrap();
    let before = all(&*store).await;
    for (limit, gone) in [(4, 4), (100, 7), (100, 0)] {
        assert_eq!(store.forget_addresses(limit).await.unwrap(), gone);
    }
    let known = all(&*store).await;
    assert!(known.iter().all(|client| client.address.is_none()));
    assert_eq!(known.len(), before.len());
    assert_eq!(known[0].last_seen, before[0].last_seen, "no other thing");
}

async fn sketches_are_replaced_and_forgotten(database: DatabaseUnderTest) {
    let store = database.store().await;
    let sketch = |instance: &str, slice: i64, byte: u8| Sketch {
        module: module("orders"),
        crowd: Crowd::Push,
        instance: instance.to_owned(),
        slice: Micros::new(slice),
        registers: vec![byte; 4_096],
    };
    let first = [sketch("a", 1, 1), sketch("b", 1, 2), sketch("a", 2, 3)];
    store.write_sketches(&first).await.unwrap();
    store.write_sketches(&[sketch("a", 2, 4)]).await.unwrap();
    let mut found = store.sketches(Micros::new(2)).await.unwrap();
    assert_eq!(found, [sketch("a", 2, 4)]);
    assert_eq!(store.forget_sketches(Micros::new(2)).await.unwrap(), 2);
    found = store.sketches(Micros::new(0)).await.unwrap();
    assert_eq!(found, [sketch("a", 2, 4)]);
}

async fn replicas_write_the_same_clients_at_once(database: DatabaseUnderTest) {
    let store = database.store().await;
    let sightings = |reversed: bool| {
        let mut all: Vec<_> = (0..500)
            .map(|n| polled(&format!("t{n:03}"), 1, Told::Poll))
            .collect();
        if reversed {
            all.reverse();
        }
        all
    };
    let tasks = (0..4).map(|n| {
        let store = std::sync::Arc::clone(&store);
        let batch = sightings(n % 2 == 0);
        tokio::spawn(async move {
            for _ in 0..5 {
                // As the census does: what passes is tried again.
                while let Err(error) = store.note_clients(&batch).await {
                    assert!(error.is_transient(), "{error:?}");
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(counts(&*store).await, (0, 500, 0));
}
