//! The gateway takes its password from a file or from its environment, and looks anew at each connection: a password
//! is changed without a restart.

use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::{Client, InProcess, Program},
    links::{Files, passwords, target},
    mosquitto::Mosquitto,
    targets::{acknowledged, begun, setup, until},
};

const LINES: &str = "allow_anonymous false\npassword_file {dir}/passwords\n";

/// A broker that lets nobody in but this user.
fn guarded(user: &str, password: &str) -> Mosquitto {
    Mosquitto::start_with_files(LINES, &[("passwords", &passwords(user, password))])
}

async fn refused(client: &Client, name: &str) {
    until(client, name, "its password is refused", |target| {
        let trouble = target["trouble"].as_str().unwrap_or_default();
        trouble.contains("NotAuthorized") || trouble.contains("BadUserNamePassword")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_read_again_at_each_connection() {
    for protocol in ["5", "3.1.1"] {
        let mut broker = guarded("gateway", "first");
        let files = Files::new();
        let file = files.write("password", "first\n");
        let keys = format!(
            "protocol = \"{protocol}\"\nusername = \"gateway\"\npassword_file = \"{}\"\n",
            file.display()
        );
        let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
        let setup = setup(&database, "gw-1").add(&target("push", &broker.url(), &keys));
        let gateway = InProcess::start(&setup).await;
        let client = &gateway.client;
        begun(client, "push").await;

        broker.reload("passwords", &passwords("gateway", "second"));
        broker.kill();
        broker.restart();
        refused(client, "push").await;
        client.ingest(&json!({"key": "a", "value": 1})).await;
        files.write("password", "second");
        acknowledged(client, "push", 1).await;

        std::fs::remove_file(&file).unwrap();
        broker.kill();
        broker.restart();
        until(client, "push", "its password is gone", |target| {
            let trouble = target["trouble"].as_str().unwrap_or_default();
            trouble.starts_with("password_file: ") && trouble.contains("cannot be read")
        })
        .await;
        files.write("password", "second");
        begun(client, "push").await;
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variable_of_the_environment_does_as_well() {
    let broker = guarded("gateway", "of the environment");
    let keys = "username = \"gateway\"\npassword_env = \"BROKER_PASSWORD\"\n";
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = setup(&database, "gw-1")
        .add(&target("push", &broker.url(), keys))
        .through(&["env", "BROKER_PASSWORD=of the environment"]);
    let program = Program::start(&setup).await;
    begun(&program.client, "push").await;
    program
        .client
        .ingest(&json!({"key": "a", "value": 1}))
        .await;
    acknowledged(&program.client, "push", 1).await;
}
