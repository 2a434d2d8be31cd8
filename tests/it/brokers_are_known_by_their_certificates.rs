//! Over TLS the gateway enters a broker whose certificate is of the believed CA, for the host of the URL, and still
//! valid, and no other one; and it shows its own certificate where one is asked for. Why it stays out stands in the
//! log and in the target's status, and as soon as the files are right it comes in.

use serde_json::{Value, json};

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::{Client, InProcess, MODULE, Program},
    links::{Files, HERE, target, tls_broker},
    mosquitto::Mosquitto,
    pki::Authority,
    targets::{acknowledged, begun, setup, until},
};

const OPEN: &str = "allow_anonymous true\n";

/// Waits for the reason why a target is not connected.
async fn trouble(client: &Client, name: &str, wanted: &str) {
    let shown = until(client, name, wanted, |target| {
        let trouble = target["trouble"].as_str();
        trouble.is_some_and(|trouble| trouble.contains(wanted))
    })
    .await;
    assert_eq!(shown["connected"], false, "{shown}");
}

async fn ingest(client: &Client, count: u32) {
    let changes: Vec<Value> = (0..count)
        .map(|n| json!({"key": n.to_string(), "value": n}))
        .collect();
    let path = format!("/v1/modules/{MODULE}/changes");
    let answer = client.post(&path, &json!(changes)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_believed_is_not_entered_and_the_others_go_on() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let files = Files::new();
    let ca = files.ca("ours", &ours);
    let good = tls_broker(&ours, &ours.server(&HERE), OPEN);
    let stranger = tls_broker(&theirs, &theirs.server(&HERE), OPEN);
    let other_name = tls_broker(&ours, &ours.server(&["broker.example.com"]), OPEN);
    let expired = tls_broker(&ours, &ours.expired_server(), OPEN);
    let plain = Mosquitto::start();
    let url = |broker: &Mosquitto| format!("mqtts://127.0.0.1:{}", broker.port());
    let cases = [
        (
            "stranger",
            &stranger,
            &*ca,
            "certificate is not of a CA in `ca_file`",
        ),
        (
            "system",
            &good,
            "topic_prefix = \"system\"",
            "is not of a CA that the system believes",
        ),
        (
            "name",
            &other_name,
            &ca,
            "certificate is not for `127.0.0.1`",
        ),
        ("expired", &expired, &ca, "certificate has expired"),
        ("plain", &plain, &ca, "TLS failed"),
    ];
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let mut setup = setup(&database, "gw-1").add(&target("good", &url(&good), &ca));
    for (name, broker, keys, _) in &cases {
        setup = setup.add(&target(name, &url(broker), keys));
    }
    let program = Program::start(&setup).await;
    let client = &program.client;
    begun(client, "good").await;
    for (name, _, _, wanted) in &cases {
        trouble(client, name, wanted).await;
    }
    ingest(client, 10).await;
    acknowledged(client, "good", 10).await;
    let log = program.log();
    for (name, _, _, wanted) in &cases {
        let told = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            let reason = line["reason"].as_str().unwrap_or_default();
            line["broker"] == *name && reason.contains(wanted)
        };
        assert!(log.lines().any(told), "{name}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_shows_its_own_certificate() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let files = Files::new();
    let strict = "require_certificate true\nuse_identity_as_username true\n";
    let broker = tls_broker(&ours, &ours.server(&HERE), strict);
    let url = format!("mqtts://localhost:{}", broker.port());
    let ca = files.ca("ca", &ours);
    let keys = |name: &str, issued| ca.clone() + &files.client(name, issued);
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = setup(&database, "gw-1")
        .add(&target(
            "known",
            &url,
            &keys("known", &ours.client("gateway")),
        ))
        .add(&target(
            "nobody",
            &url,
            &format!("topic_prefix = \"nobody\"\n{ca}"),
        ))
        .add(&target(
            "stranger",
            &url,
            &format!(
                "topic_prefix = \"stranger\"\n{}",
                keys("stranger", &theirs.client("gateway"))
            ),
        ));
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    begun(client, "known").await;
    trouble(
        client,
        "nobody",
        "it asks for a client certificate: set `client_cert_file`",
    )
    .await;
    trouble(
        client,
        "stranger",
        "it does not believe our client certificate",
    )
    .await;
    // Renewed under the same names, it counts from the next connection on.
    files.client("stranger", &ours.client("gateway"));
    begun(client, "stranger").await;
    ingest(client, 10).await;
    acknowledged(client, "stranger", 10).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_file_keeps_a_target_down_until_it_is_right() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let mut broker = tls_broker(&ours, &ours.server(&HERE), OPEN);
    let url = format!("mqtts://localhost:{}", broker.port());
    let ca = files.ca("ca", &ours);
    let own = ours.client("gateway");
    let keys = ca + &files.client("own", &own);
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = setup(&database, "gw-1").add(&target("push", &url, &keys));
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    begun(client, "push").await;

    files.write("own.key", &ours.client("another").key);
    broker.kill();
    broker.restart();
    trouble(
        client,
        "push",
        "own.key: does not belong to the certificate of client_cert_file",
    )
    .await;
    files.write("own.key", "-----BEGIN PRIVATE KEY-----\nplanted\n");
    trouble(client, "push", "client_key_file: ").await;
    files.write("own.key", &own.key);
    files.write("ca.pem", "no certificate");
    trouble(client, "push", "ca.pem: holds no certificate in PEM").await;
    std::fs::remove_file(files.path("ca.pem")).unwrap();
    trouble(client, "push", "ca.pem: cannot be read: No such file").await;
    ingest(client, 10).await;
    files.ca("ca", &ours);
    acknowledged(client, "push", 10).await;
    gateway.stop().await;
}
