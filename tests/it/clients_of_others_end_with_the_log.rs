//! The clients of the Durable Streams project, in JavaScript and in Python, read a module from its beginning, by
//! long-poll and by server-sent events, while producers write and the gateway is killed and started again. They
//! end with exactly the log.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    on_each_database,
    support::{
        clients::{self, Script},
        database::DatabaseUnderTest,
        gateway::{Program, Setup},
        load::{Load, Plan, orders_at},
        logbook,
        native::{PATIENCE, events, numbered},
        servers_are_skipped,
    },
};

const MODULES: &str = "[[modules]]\nname = \"orders\"\n";
const KILLS: u64 = 2;
/// Between two kills, and before the first.
const PART: u64 = 400;

on_each_database!(through_restarts);

async fn through_restarts(database: DatabaseUnderTest) {
    if servers_are_skipped() {
        return;
    }
    let began = Instant::now();
    let setup = Setup::new(&database, "gw-1")
        .modules(MODULES)
        // Small, so that every way is taken: pages that are cut, reads of the database, waits and streams that end.
        .set("tail.changes", 200)
        .set("native.page_changes", 64)
        .set("native.wait_ms", 700)
        .set("native.stream_ms", 1_500)
        .set("native.keep_alive_ms", 200)
        .lasting_ports();
    let mut gateway = Program::start(&setup).await;
    let mut load = Load::start(&Plan {
        ingest: vec![orders_at(&gateway.client.private)],
        producers: 2,
        changes: PART * (KILLS + 1) / 2,
        batch: 5,
        pace: Duration::from_millis(100),
        seed: 7,
    });
    load.reaches(PART / 2).await;

    let url = format!("{}/v1/streams/orders?audience=u1", gateway.client.public);
    let scripts = scripts(&url).await;
    for kill in 1..=KILLS {
        load.reaches(PART * kill).await;
        for (name, script) in &scripts {
            let what = format!("{name} has been told that it is up to date");
            script.until(&what, PATIENCE, was_up_to_date).await;
        }
        gateway.kill();
        gateway.restart().await;
    }
    let (total, _) = load.finish().await;
    numbered(&gateway.client, "orders", total).await;
    let wanted = events(&database, "orders", &["*", "u1"]).await;
    let wanted: Vec<Value> = wanted
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    for (name, script) in &scripts {
        let what = format!("{name} has all {} of {total} changes", wanted.len());
        let whole = |lines: &[Value]| received(lines).count() >= wanted.len();
        script.until(&what, PATIENCE, whole).await;
        let lines = script.lines();
        let received: Vec<_> = received(&lines).collect();
        assert!(
            wanted.iter().eq(received.iter().copied()),
            "{name}: {} of {}: {}",
            received.len(),
            wanted.len(),
            script.output()
        );
    }
    for mut script in [
        clients::node("follow.mjs", &[&url, "once"]).await,
        clients::python("follow.py", &[&url, "once"]).await,
    ] {
        assert_eq!(script.ended(PATIENCE).await, 0, "{}", script.output());
        assert!(wanted.iter().eq(&script.lines()), "read as a whole");
    }
    load.assert_is(&logbook::whole(&database).await);
    println!("{total} changes, {:?}", began.elapsed());
}

async fn scripts(url: &str) -> BTreeMap<&'static str, Script> {
    let long_poll = [url, "long-poll"];
    let sse = [url, "sse"];
    BTreeMap::from([
        (
            "node, long-poll",
            clients::node("follow.mjs", &long_poll).await,
        ),
        ("node, sse", clients::node("follow.mjs", &sse).await),
        (
            "python, long-poll",
            clients::python("follow.py", &long_poll).await,
        ),
        ("python, sse", clients::python("follow.py", &sse).await),
    ])
}

fn was_up_to_date(lines: &[Value]) -> bool {
    lines.iter().any(|line| line.get("upToDate").is_some())
}

fn received(lines: &[Value]) -> impl Iterator<Item = &Value> {
    lines
        .iter()
        .filter(|line| line.get("specversion").is_some())
}
