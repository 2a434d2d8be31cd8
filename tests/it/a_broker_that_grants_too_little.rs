//! A broker that grants the verifier QoS 0 where it asked for QoS 1 may lose events without anybody's fault: what does not come then proves
//! nothing, so nothing is compared, and the mirror goes on.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{InProcess, Setup},
    mosquitto::Mosquitto,
    servers_are_skipped,
    stingy::Stingy,
};

const SOON: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_not_judged_by_what_it_does_not_promise() {
    if servers_are_skipped() {
        return;
    }
    for protocol in ["5", "3.1.1"] {
        let broker = Mosquitto::start();
        let stingy = Stingy::before(broker.port()).await;
        let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
        let target = format!(
            "\n[[mqtt.targets]]\nname = \"local\"\nurl = \"{}\"\nprotocol = \"{protocol}\"\n",
            stingy.url()
        );
        let setup = Setup::new(&database, "a").add(&target);
        let gateway = InProcess::start(&setup.set("mirror.backoff_max_ms", 200)).await;
        let client = &gateway.client;
        let of_target = async || client.module().await["targets"][0].clone();
        let changes: Vec<_> = (0..3).map(|n| json!({"key": "k", "value": n})).collect();
        client.ingest(&json!(changes)).await;
        eventually("the mirror goes on", SOON, async || {
            (of_target().await["position"] == 3).then_some(())
        })
        .await;
        // Its subscription, and the publisher's; again and again only the verifier's.
        eventually("the verifier tries again", SOON, async || {
            (stingy.lowered() >= 5).then_some(())
        })
        .await;
        let shown = of_target().await;
        assert_eq!(shown["connected"], true, "{shown}");
        assert_eq!(shown["verified"]["listening"], false, "{shown}");

        stingy.becomes_generous();
        let shown = eventually("the verifier listens", SOON, async || {
            let shown = of_target().await;
            (shown["verified"]["listening"] == true).then_some(shown)
        })
        .await;
        assert_eq!(missing(&shown), 0, "{shown}");
        client.ingest(&json!([{"key": "k", "value": 4}])).await;
        eventually("an event is compared", SOON, async || {
            let outcomes = of_target().await["verified"]["outcomes"].clone();
            (outcomes["ok"].as_u64()? >= 1).then_some(())
        })
        .await;
        gateway.stop().await;
    }
}

fn missing(target: &Value) -> u64 {
    target["verified"]["outcomes"]["missing"].as_u64().unwrap()
}
