//! A poll that waits with a cursor that is a time hears of a change when its tick has closed, however often the
//! lease was renewed while the tick was open.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    database::DatabaseUnderTest,
    gateway::{InProcess, Setup},
    within,
};

/// Far below the wait that must not be waited out.
const SOON: Duration = Duration::from_secs(30);

const MODULE: &str = r#"
[[modules]]
name = "news"
[modules.poll]
path   = "/news"
cursor = { in = "query", name = "since", kind = "timestamp-s" }
wait   = { in = "query", name = "wait_ms", max_ms = 300000 }
[modules.poll.response]
body = '{"list":"$changes","since":"$cursor"}'
item = '{"key":"$key"}'
"#;

crate::on_each_database!(the_second_change_of_a_second_is_heard_of);

async fn the_second_change_of_a_second_is_heard_of(database: DatabaseUnderTest) {
    // The first change of a second closes its tick early; the next one has to wait for the clock.
    let setup = Setup::new(&database, "a").modules(MODULE);
    let setup = setup.set("sequencer.renew_ms", 100);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let mut since = json!(0);
    for round in 0..4 {
        for name in ["a", "b", "c"] {
            let key = format!("{name}{round}");
            let change = json!({"key": key, "value": 1});
            let answer = client.post("/v1/modules/news/changes", &change).await;
            assert_eq!(answer.status, 202, "{answer:?}");
        }
        let last = json!({"key": format!("c{round}")});
        within("the last change", SOON, async {
            loop {
                let url = format!("{}/news?since={since}&wait_ms=300000", client.public);
                let body = client.send(client.http.get(url)).await.json();
                since = body["since"].clone();
                if body["list"].as_array().unwrap().contains(&last) {
                    return;
                }
            }
        })
        .await;
    }
    gateway.stop().await;
}
