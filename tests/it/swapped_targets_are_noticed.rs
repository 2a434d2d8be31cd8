//! Two targets whose URLs were swapped in the configuration: what a broker keeps of us says under which name it was fed,
//! and the log of the gateway says so.

use serde_json::Value;

use changeover::config::mqtt::Protocol;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    follower::Follower,
    gateway::Program,
    mosquitto::Mosquitto,
    pruned::ingest,
    targets::{acknowledged, begun, broker, setup, target},
};

/// Waits until the broker keeps the name of the target.
async fn keeps(broker: &Mosquitto, name: &str) {
    let filters = ["changeover/m/+"];
    let follower = Follower::start(&broker.url(), Protocol::V5, "follower", &filters);
    follower
        .wait("both modules name their target", |record| {
            let named = record.bookmarks.iter().filter(|b| b["target"] == name);
            named.count() >= 2
        })
        .await;
}

/// Targets that found another name, with that name.
fn complaints(program: &Program) -> Vec<(String, String)> {
    let log = program.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told = lines.filter(|line| line["level"] == "ERROR" && !line["fed_as"].is_null());
    let pair = |line: Value| {
        let text = |member: &str| line[member].as_str().unwrap().to_owned();
        (text("broker"), text("fed_as"))
    };
    let mut all: Vec<_> = told.map(pair).collect();
    all.sort();
    all.dedup();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_broker_knows_its_name() {
    let (one, two) = (broker(), broker());
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let with = |first: &Mosquitto, second: &Mosquitto| {
        setup(&database, "gw-1")
            .add(&target("one", first, ""))
            .add(&target("two", second, ""))
    };
    let mut program = Program::start(&with(&one, &two)).await;
    for name in ["one", "two"] {
        begun(&program.client, name).await;
    }
    keeps(&one, "one").await;
    keeps(&two, "two").await;
    assert_eq!(program.terminate().await.0, 0);
    program.restart().await;
    ingest(&program.client, "a", 5).await;
    for name in ["one", "two"] {
        acknowledged(&program.client, name, 5).await;
    }
    assert_eq!(complaints(&program), [], "nothing was swapped");
    assert_eq!(program.terminate().await.0, 0);

    let swapped = Program::start(&with(&two, &one)).await;
    ingest(&swapped.client, "b", 5).await;
    for name in ["one", "two"] {
        acknowledged(&swapped.client, name, 10).await;
    }
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        complaints(&swapped),
        [pair("one", "two"), pair("two", "one")]
    );
}
