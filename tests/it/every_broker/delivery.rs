//! Changes of several modules and audiences arrive once, in the order of their channel, with their values.

use std::collections::BTreeMap;

use changeover::domain::JsonText;
use serde_json::{Value, json};

use super::{Case, on_each_broker};
use crate::support::{
    broker::Broker,
    follower::{Event, Follower},
};

/// What a topic, a filter or a routing key could take for something else is among them.
const AUDIENCES: [&str; 9] = ["*", "u1", "u2", "_all", "a/b", "a.b c", "+", "#", "$SYS/ü>"];
const MODULES: [&str; 3] = ["dlv-a", "dlv-b", "dlv_c"];
const EACH: usize = 450;

on_each_broker!(once_and_in_order);

async fn once_and_in_order(case: Case) {
    let mut rig = case.rig(&MODULES);
    let follow = |name: &str, filters: &[&str]| {
        Follower::start(
            &case.broker.url(),
            case.protocol,
            &format!("dlv-{name}"),
            filters,
        )
    };
    let whole = MODULES.map(|module| follow(module, &[&format!("changeover/c/{module}/+")]));
    // As a client of one audience has it: no wildcards.
    let mine = MODULES.map(|module| {
        let topics = ["_all", "u1"].map(|level| format!("changeover/c/{module}/{level}"));
        topics.to_vec()
    });
    let mine = mine.concat();
    let mine: Vec<_> = mine.iter().map(String::as_str).collect();
    let one = follow("one", &mine);
    for follower in whole.iter().chain([&one]) {
        follower.subscribed().await;
    }

    let publisher = rig.start();
    for module in MODULES {
        let changes = (0..EACH).map(|n| (AUDIENCES[n % AUDIENCES.len()], value(module, n)));
        rig.append_values(module, changes);
    }
    for module in MODULES {
        rig.acknowledged(&publisher, module, EACH as u64).await;
    }
    for (module, follower) in MODULES.iter().zip(&whole) {
        follower
            .wait("the whole module", |record| record.events.len() >= EACH)
            .await;
        let record = follower.record();
        assert_eq!(record.assert_whole(), 0, "{module} came more than once");
        assert_eq!(record.distinct(), EACH as u64);
        for event in &record.events {
            assert_holds(event, module);
        }
    }
    let expected = MODULES.len() * EACH * 2 / AUDIENCES.len();
    one.wait("one client's part", |record| {
        record.events.len() >= expected
    })
    .await;
    let record = one.record();
    assert_eq!(record.events.len(), expected);
    // NATS delivers each subscription by itself: order holds per channel, which is what the client's rule needs.
    let per_channel = matches!(case.broker, Broker::Nats(_));
    let mut lasts = BTreeMap::new();
    for event in &record.events {
        let channel = per_channel.then_some(&event.audience);
        let last = lasts.insert((&event.module, channel), event.position);
        assert!(last < Some(event.position), "{event:?} after {last:?}");
    }
    publisher.stop().await;
    println!(
        "{} changes; each of {} came once to the subscribers of its module, and {expected} to the client of one audience",
        MODULES.len() * EACH,
        MODULES.len() * EACH
    );
}

fn value(module: &str, n: usize) -> JsonText {
    JsonText::parse(&body(module, n).to_string()).unwrap()
}

fn body(module: &str, n: usize) -> Value {
    json!({"module": module, "n": n, "text": "½ \"quoted\" \u{1F980}", "list": [1.5, null]})
}

fn assert_holds(event: &Event, module: &str) {
    let n = usize::try_from(event.position).unwrap() - 1;
    assert_eq!(event.audience, AUDIENCES[n % AUDIENCES.len()]);
    assert_eq!(event.data, body(module, n));
    assert_eq!(event.key, format!("k{}", event.position));
    assert_eq!(event.module, module);
}
