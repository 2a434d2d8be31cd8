//! Whatever of the gateway connects to a broker goes the way of its target and enters with its login: the mirror,
//! the verifier that reads back, and `changeover watch`.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{InProcess, MODULE, START},
    lasting_port,
    links::{Files, HERE, passwords, target, tls_broker_with_files},
    pki::Authority,
    targets::{acknowledged, setup},
};

/// Ends with the test.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_websocket_and_tls_with_a_password_and_a_certificate() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let secret = files.write("password", "s3cret\n");
    // This Mosquitto ends if all its listeners are for WebSocket.
    let lines = format!(
        "protocol websockets\nrequire_certificate true\nallow_anonymous false\n\
         password_file {{dir}}/passwords\nlistener {} 127.0.0.1\n",
        lasting_port()
    );
    let allowed = passwords("gateway", "s3cret");
    let server = ours.server(&HERE);
    let broker = tls_broker_with_files(&ours, &server, &lines, &[("passwords", &allowed)]);
    let keys = format!(
        "username = \"gateway\"\npassword_file = \"{}\"\n{}{}",
        secret.display(),
        files.ca("ca", &ours),
        files.client("own", &ours.client("gateway")),
    );
    let url = format!("wss://localhost:{}/mqtt", broker.port());
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = setup(&database, "gw-1").add(&target("same-link", &url, &keys));
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    let file = setup.write();
    let mut watching = Watching(
        Command::new(env!("CARGO_BIN_EXE_changeover"))
            .args(["watch", MODULE, "--target", "same-link", "--config"])
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let out = watching.0.stdout.take().unwrap();
    let shown = tokio::task::spawn_blocking(move || {
        // Its first line is the retained message: it listens.
        let mut lines = BufReader::new(out).lines().map(Result::unwrap);
        let event = |line: &String| line.contains("specversion");
        lines.find(event).unwrap()
    });
    let mut sent: u64 = 0;
    eventually("the change is watched", START, async || {
        sent += 1;
        client.ingest(&json!({"key": "a", "value": 1})).await;
        acknowledged(client, "same-link", sent).await;
        shown.is_finished().then_some(())
    })
    .await;
    let event: Value = serde_json::from_str(&shown.await.unwrap()).unwrap();
    assert_eq!(event["subject"], "a", "{event}");
    eventually("the verifier has read back", START, async || {
        // What was sent before it listened it has not seen.
        client.ingest(&json!({"key": "a", "value": 1})).await;
        let module = client.module().await;
        let verified = &module["targets"][0]["verified"];
        let found = verified["outcomes"]["ok"].as_u64().unwrap_or_default();
        (found > 0).then_some(())
    })
    .await;
    gateway.stop().await;
}
