//! schemathesis, which knows the listeners from their descriptions only, sends them what these allow and what they forbid: no
//! answer is a server error, and none has a status, a content type, a header or a body that is not described.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{clients, described::gateway, servers_are_skipped};

/// Most requests per operation and phase.
const EXAMPLES: &str = "25";
const PATIENCE: Duration = Duration::from_mins(5);

#[tokio::test(flavor = "multi_thread")]
async fn on_both_listeners() {
    if servers_are_skipped() {
        return;
    }
    let seed = std::env::var("CHANGEOVER_TEST_SEED").unwrap_or_else(|_| "20".to_owned());
    let gateway = gateway("").await;
    let (client, began) = (&gateway.client, Instant::now());
    for module in ["commission", "orders", "prices", "notices"] {
        let change = json!({"key": "k", "audience": "u1", "value": {"a": [1, null]}});
        let answer = client
            .post(&format!("/v1/modules/{module}/changes"), &change)
            .await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    // The private one last: its acts move the modules, and their polls with them.
    for listener in [&client.public, &client.private, &client.public] {
        let mut script = clients::python("probe.py", &[listener, &seed, EXAMPLES]).await;
        let code = script.ended(PATIENCE).await;
        let output = script.output();
        assert_eq!(code, 0, "seed {seed}, {listener}: {output}");
        println!("seed {seed}, {listener}: {output}");
    }
    println!("{:?}", began.elapsed());
    gateway.stop().await;
}
