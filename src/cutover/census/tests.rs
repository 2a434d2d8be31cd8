//! The census in memory: its bounds, and what it costs to see somebody again.

use Transport::{Poll, Push};

use super::{sketch::Union, *};
use crate::{
    config::census::Census as Settings,
    domain::{Audience, Transport},
    store::Crowd,
};

fn module() -> ModuleName {
    "orders".parse().unwrap()
}

fn census(settings: &Settings) -> Census {
    let topic = |module: &ModuleName| format!("co/c/{module}");
    let now = (Instant::now(), Micros::new(1_700_000_000_000_000));
    Census::new(settings, &[module()], topic, now)
}

fn written(census: &Census) -> Vec<String> {
    let clients = census.clients(&module()).unwrap();
    let mut noted = Vec::new();
    clients.take(usize::MAX, census.common.moment(Instant::now()), &mut noted);
    let now = census.common.moment(Instant::now());
    let ids = noted
        .iter()
        .map(|noted| noted.sighting(now).client_id.to_string());
    ids.collect()
}

fn estimate(census: &Census, crowd: Crowd) -> u64 {
    let mut union = Union::new();
    census
        .clients(&module())
        .unwrap()
        .sketched(crowd, &mut union);
    union.estimate()
}

#[test]
fn above_the_bound_clients_are_counted_and_not_remembered() {
    let census = census(&Settings {
        clients: 1_000,
        ..Settings::default()
    });
    let clients = census.clients(&module()).unwrap();
    assert!(clients.uncounted().is_none());
    for _ in 0..3 {
        for n in 0..50_000 {
            clients.polls(
                &Client::named(&format!("t{n}")),
                Poll,
                false,
                Instant::now(),
            );
        }
    }
    assert_eq!(census.remembered(), 1_001, "and one row for all others");
    assert!(clients.uncounted().is_some());
    let found = estimate(&census, Crowd::Poll);
    assert!((47_500..52_500).contains(&found), "{found}");
    assert_eq!(estimate(&census, Crowd::Push), 0);
    let known = written(&census);
    assert_eq!(known.len(), 1_001);
    assert!(
        known.iter().any(String::is_empty),
        "who polls unnamed is told of"
    );
    // Whoever was not seen for a while makes room.
    clients.forget(census.common.moment(Instant::now()).plus(1));
    assert_eq!(census.remembered(), 0);
    clients.polls(&Client::named("t49999"), Poll, false, Instant::now());
    assert_eq!(written(&census), ["t49999"]);
}

#[test]
fn who_is_seen_again_is_not_written_again_until_something_is_new() {
    let census = census(&Settings::default());
    let clients = census.clients(&module()).unwrap();
    let audiences = [Audience::everyone(), Audience::stored("u1")];
    let client = Client {
        id: "t1",
        audiences: &audiences,
        agent: b"Terminal/1",
        address: Some([10, 0, 0, 1].into()),
    };
    let now = Instant::now();
    for _ in 0..100 {
        assert_eq!(clients.polls(&client, Poll, false, now), None);
    }
    assert_eq!(written(&census), ["t1"]);
    for seconds in 0..100 {
        clients.polls(&client, Poll, false, now + Duration::from_secs(seconds));
    }
    assert_eq!(written(&census), [""; 0]);
    let moved = Client {
        address: Some([10, 0, 0, 2].into()),
        ..client
    };
    clients.polls(&moved, Poll, false, now);
    assert_eq!(written(&census), [""; 0], "addresses are not written");
    let updated = Client {
        agent: b"Terminal/2",
        ..client
    };
    clients.polls(&updated, Poll, false, now);
    assert_eq!(written(&census), ["t1"]);
    clients.polls(&updated, Push, false, now);
    assert_eq!(written(&census), ["t1"], "it is told something else");
    clients.connects("t1", now);
    assert_eq!(written(&census), ["t1"], "it is on push");
    clients.stays("t1", now + Duration::from_mins(1));
    assert_eq!(written(&census), [""; 0]);
    clients.stays("t1", now + Duration::from_secs(301));
    assert_eq!(written(&census), ["t1"], "what is written grows old");
    clients.disconnects("t1", now + Duration::from_secs(302));
    assert_eq!(written(&census), ["t1"], "it is gone");
}

#[test]
fn everybody_is_written_once_in_whatever_batches() {
    let census = census(&Settings::default());
    let clients = census.clients(&module()).unwrap();
    for n in 0..50_000 {
        let id = format!("t{n}");
        clients.polls(&Client::named(&id), Poll, false, Instant::now());
    }
    let now = census.common.moment(Instant::now());
    let mut ids = std::collections::BTreeSet::new();
    loop {
        let mut batch = Vec::new();
        clients.take(500, now, &mut batch);
        if batch.is_empty() {
            break;
        }
        for noted in &batch {
            let sighting = noted.sighting(now);
            assert!(ids.insert(sighting.client_id), "twice");
        }
    }
    assert_eq!((ids.len(), clients.queued()), (50_000, 0));
}

#[test]
fn those_without_an_id_are_one_and_count_for_what_they_show() {
    let census = census(&Settings::default());
    let clients = census.clients(&module()).unwrap();
    for n in 0..200_u8 {
        let client = Client {
            address: Some([10, 0, 0, n].into()),
            ..Client::default()
        };
        assert_eq!(clients.polls(&client, Push, true, Instant::now()), None);
    }
    let long = "x".repeat(129);
    for id in [&long, "a\0b", "a\nb"] {
        clients.polls(&Client::named(id), Poll, false, Instant::now());
    }
    assert_eq!(census.remembered(), 1);
    assert_eq!(written(&census), [""]);
    assert!(
        clients.uncounted().is_none(),
        "the others are counted one by one"
    );
    assert_eq!(estimate(&census, Crowd::Poll), 0);
    let found = estimate(&census, Crowd::Unnamed);
    assert!((190..212).contains(&found), "{found}");
    let mut shown = 0;
    census.each(&module(), |_| shown += 1);
    assert_eq!(shown, 0, "nobody knows what they would be told");
}

#[test]
fn a_census_that_is_off_remembers_nobody() {
    let census = census(&Settings {
        enabled: false,
        ..Settings::default()
    });
    assert!(census.clients(&module()).is_none());
    let presence = census.presence();
    presence.connects("t", true, Duration::ZERO, Instant::now());
    presence.subscribes("t", ["co/c/orders/_all"].into_iter(), Instant::now());
    assert_eq!(census.remembered(), 0);
}

#[test]
fn a_connection_counts_while_it_lives_and_is_subscribed() {
    let census = census(&Settings::default());
    let (presence, now) = (census.presence(), Instant::now());
    let clients = census.clients(&module()).unwrap();
    let healthy = |at: Instant| {
        let healthy = clients.polls(&Client::named("t1"), Push, false, at);
        healthy.is_some()
    };
    let (id, kept) = ("abcdefghijkl-t1", Duration::from_mins(1));
    presence.connects(id, true, kept, now);
    assert!(!healthy(now), "not subscribed");
    presence.subscribes(id, ["co/m/orders", "co/c/other/_all"].into_iter(), now);
    assert!(!healthy(now), "to nothing of the module");
    presence.subscribes(id, ["co/c/orders/_all"].into_iter(), now);
    assert!(healthy(now));
    presence.subscribes(id, ["co/c/orders/u1"].into_iter(), now);
    presence.unsubscribes(id, ["co/c/orders/_all"].into_iter(), now);
    assert!(healthy(now), "one of two is left");
    presence.disconnects(id, now);
    assert!(!healthy(now));
    // The broker has kept the session.
    presence.connects(id, false, kept, now + kept / 2);
    assert!(healthy(now + kept / 2));
    // One that takes over comes before the other one goes.
    presence.connects(id, false, kept, now + kept);
    presence.disconnects(id, now + kept);
    assert!(healthy(now + kept));
    presence.disconnects(id, now + kept);
    assert!(!healthy(now + kept));
    presence.connects(id, false, kept, now + 3 * kept);
    assert!(!healthy(now + 3 * kept), "the broker has forgotten it");
    presence.subscribes(id, ["#"].into_iter(), now + 3 * kept);
    assert!(healthy(now + 3 * kept));
    presence.ends(now + 3 * kept);
    assert!(!healthy(now + 3 * kept));
}

#[test]
fn who_takes_over_under_another_name_leaves_nobody_connected() {
    let census = census(&Settings::default());
    let (presence, now) = (census.presence(), Instant::now());
    let clients = census.clients(&module()).unwrap();
    let healthy = |id: &str| {
        let healthy = clients.polls(&Client::named(id), Push, false, now);
        healthy.is_some()
    };
    let (id, kept) = ("q1", Duration::from_mins(1));
    presence.connects(id, true, kept, now);
    presence.subscribes(id, ["co/c/orders/_all"].into_iter(), now);
    assert!(healthy("q1"), "it is known by nothing else");
    presence.aliases().note(id, "terminal");
    presence.connects(id, false, kept, now);
    presence.disconnects(id, now);
    assert!(healthy("terminal"));
    assert!(!healthy("q1"), "nobody of that name is there");
    presence.disconnects(id, now);
    assert!(!healthy("terminal"));
}

#[test]
fn above_the_bound_who_is_on_push_leaves_no_sign_of_a_poll() {
    let census = census(&Settings {
        clients: 1,
        ..Settings::default()
    });
    let (clients, now) = (census.clients(&module()).unwrap(), Instant::now());
    clients.connects("one", now);
    clients.connects("two", now);
    clients.polls(&Client::named("three"), Push, true, now);
    assert_eq!(written(&census), ["one"]);
    clients.polls(&Client::named("four"), Poll, false, now);
    assert_eq!(written(&census), [""]);
}
