//! A module's state is switched off for a while and on again: what its pollers then get is whole.

use std::time::Duration;

use changeover::store::Mended;
use serde_json::{Value, json};

use crate::support::{
    database::DatabaseUnderTest,
    gateway::{InProcess, Setup},
};

const SOON: Duration = Duration::from_secs(30);

const MODULES: &str = r#"
[[modules]]
name = "commission"
state = STATE
[modules.poll]
path = "/api/commission/list"
cursor = { in = "query", name = "since", kind = "position" }
limit = { in = "query", name = "size", default = 1000, max = 20000 }
[modules.poll.response]
body = '{"list":"$changes","since":"$cursor","more":"$has_more"}'
item = '{"key":"$key","seq":"$position","op":"$op"}'
"#;

const WHOLE: &str = r#"
[[modules]]
name = "commission"
[modules.poll]
path = "/api/commission/list"
cursor = { kind = "none" }
[modules.poll.response]
body = '{"list":"$changes"}'
item = '{"key":"$key","body":"$value"}'
"#;

crate::on_each_database!(the_state_is_rebuilt_from_the_log, a_pruned_log_is_refused,);

fn with_state(database: &DatabaseUnderTest, state: bool) -> Setup {
    Setup::new(database, "a").modules(&MODULES.replace("STATE", &state.to_string()))
}

/// Ingests and waits until the log holds so many changes.
async fn ingest(gateway: &InProcess, changes: Value, log: usize) {
    gateway.client.ingest(&changes).await;
    gateway.client.items(0, log, SOON).await;
}

async fn on_then_off(database: &DatabaseUnderTest) {
    let gateway = InProcess::start(&with_state(database, true)).await;
    let first = json!([{"key":"a","value":1},{"key":"b","value":1},{"key":"d","value":1}]);
    ingest(&gateway, first, 3).await;
    gateway.stop().await;
    let gateway = InProcess::start(&with_state(database, false)).await;
    let second = json!([{"key":"c","value":1},{"key":"a","value":2},{"key":"b","op":"delete"}]);
    ingest(&gateway, second, 6).await;
    gateway.stop().await;
}

async fn the_state_is_rebuilt_from_the_log(database: DatabaseUnderTest) {
    on_then_off(&database).await;
    let gateway = InProcess::start(&Setup::new(&database, "a").modules(WHOLE)).await;
    let client = &gateway.client;
    let poll = client
        .http
        .get(format!("{}/api/commission/list", client.public));
    let answer = client.send(poll).await.json();
    let expected = json!([{"key":"d","body":1},{"key":"c","body":1},{"key":"a","body":2}]);
    assert_eq!(answer["list"], expected);
    gateway.stop().await;
}

async fn a_pruned_log_is_refused(database: DatabaseUnderTest) {
    on_then_off(&database).await;
    let prune = "UPDATE module_head SET retained_from = 5 WHERE module = 'commission'";
    database.execute(prune).await;
    let store = database.store().await;
    let module = "commission".parse().unwrap();
    assert_eq!(store.mend_state(&module).await.unwrap(), Mended::Lost);
    let setup = Setup::new(&database, "a").modules(WHOLE);
    let refused = InProcess::refused(&setup).await;
    assert!(refused.contains("set `state = false`"), "{refused}");
}
