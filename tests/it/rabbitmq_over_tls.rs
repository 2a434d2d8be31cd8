//! RabbitMQ over TLS: entered if it shows a certificate of the believed CA for the host of the URL, and shown ours; mirrored to over
//! its death, with nothing lost.

use changeover::config::mqtt::Protocol;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    follower::Follower,
    gateway::InProcess,
    links::{Files, target, tls_rabbitmq},
    pki::Authority,
    pruned::ingest,
    servers_are_skipped,
    targets::{acknowledged, begun, setup, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_believed_is_entered_and_nothing_is_lost() {
    if servers_are_skipped() {
        return;
    }
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let files = Files::new();
    let (mut broker, port) = tls_rabbitmq(&ours, &ours.server(&["localhost"]));
    let (ca, others_ca) = (files.ca("ours", &ours), files.ca("theirs", &theirs));
    let known = files.client("known", &ours.client("gateway"));
    let stranger = files.client("stranger", &theirs.client("gateway"));
    // RabbitMQ 3.10 speaks no MQTT 5.
    let old = "protocol = \"3.1.1\"\n";
    let here = format!("mqtts://localhost:{port}");
    let elsewhere = format!("mqtts://127.0.0.1:{port}");
    let refused = [
        (
            "ca",
            &here,
            format!("{others_ca}{known}"),
            "certificate is not of a CA in `ca_file`",
        ),
        (
            "name",
            &elsewhere,
            format!("{ca}{known}"),
            "certificate is not for `127.0.0.1`",
        ),
        (
            "nobody",
            &here,
            ca.clone(),
            "it asks for a client certificate",
        ),
        (
            "stranger",
            &here,
            format!("{ca}{stranger}"),
            "it does not believe our client certificate",
        ),
    ];
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let mut setup =
        setup(&database, "gw-1").add(&target("good", &here, &format!("{old}{ca}{known}")));
    for (name, url, keys, _) in &refused {
        let keys = format!("topic_prefix = \"{name}\"\n{old}{keys}");
        setup = setup.add(&target(name, url, &keys));
    }
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    begun(client, "good").await;
    for (name, _, _, wanted) in &refused {
        let shown = until(client, name, wanted, |target| {
            let trouble = target["trouble"].as_str();
            trouble.is_some_and(|trouble| trouble.contains(wanted))
        })
        .await;
        assert_eq!(shown["connected"], false, "{shown}");
    }

    let plain = format!("mqtt://127.0.0.1:{}", broker.port());
    let filters = ["changeover/c/commission/+"];
    let follower = Follower::start(&plain, Protocol::V311, "follower", &filters);
    follower.subscribed().await;
    ingest(client, "a", 10).await;
    acknowledged(client, "good", 10).await;
    broker.kill();
    ingest(client, "b", 10).await;
    broker.restart();
    acknowledged(client, "good", 20).await;
    follower
        .wait("all of it", |record| record.distinct() == 20)
        .await;
    gateway.stop().await;
}
