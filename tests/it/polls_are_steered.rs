//! What `$next_poll_ms` and its header say: what is configured, more under load, and less again.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{Answer, InProcess, Setup},
};

const SOON: Duration = Duration::from_mins(1);

const MODULES: &str = r#"
[[modules]]
name = "busy"
[modules.poll]
path     = "/busy"
cursor   = { in = "query", name = "since", kind = "position" }
next_poll_ms = 1000
steer    = { max_ms = 4000, polls_per_s = 5 }
[modules.poll.response]
body  = '{"next":"$next_poll_ms"}'

[[modules]]
name = "calm"
[modules.poll]
path     = "/calm"
cursor   = { in = "query", name = "since", kind = "position" }
next_poll_ms = 1000
[modules.poll.response]
body  = '{"next":"$next_poll_ms"}'
"#;

async fn poll(gateway: &InProcess, path: &str) -> Answer {
    let url = format!("{}{path}", gateway.client.public);
    gateway.client.send(gateway.client.http.get(url)).await
}

fn next(answer: &Answer) -> u64 {
    answer.json()["next"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_slowed_while_too_many_poll() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "steered").modules(MODULES)).await;
    let first = poll(&gateway, "/busy").await;
    assert_eq!(next(&first), 1_000);
    assert_eq!(first.header("changeover-next-poll-ms"), "1000");
    let mut seen = Vec::new();
    eventually("the interval reaches its most", SOON, async || {
        let answer = poll(&gateway, "/busy").await;
        let told: Value = answer.header("changeover-next-poll-ms").parse().unwrap();
        assert_eq!(answer.json()["next"], told, "the header says the same");
        assert!(next(&answer) <= 4_000);
        seen.push(next(&answer));
        (next(&answer) == 4_000).then_some(())
    })
    .await;
    assert!(
        seen.iter().any(|ms| (1_001..4_000).contains(ms)),
        "by degrees"
    );
    // A module that is not steered says what is configured, and sends no header.
    let calm = poll(&gateway, "/calm").await;
    assert_eq!(next(&calm), 1_000);
    assert_eq!(calm.header("changeover-next-poll-ms"), "");
    gateway.stop().await;
}
