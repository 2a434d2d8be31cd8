//! `credentials = "dynsec"` on a Mosquitto that takes TLS alone: the gateway makes the clients over `mqtts://`, and they enter with their passwords over it.

use changeover::{config::mqtt::Protocol, identity::passes::Issued, mirror::mqtt::Grant};
use serde_json::json;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    dynsec::{self, Dynsec, credentials, session, setup},
    eventually,
    gateway::{InProcess, MODULE, START},
    links::Files,
    passes::Entering,
    pki::Authority,
    servers_are_skipped,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_reads_its_own_channel_and_no_other() {
    if servers_are_skipped() {
        return;
    }
    let (ours, files) = (Authority::new("ours"), Files::new());
    let ca = files.ca("ours", &ours);
    let broker = Dynsec::start_over_tls(&ours);
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let target = dynsec::target_by("mqtts", broker.broker.port(), &ca);
    let gateway = InProcess::start(&setup(&database, "gw-1", &target)).await;
    let client = &gateway.client;
    for (n, version) in [Protocol::V5, Protocol::V311].into_iter().enumerate() {
        let told = session(client, &format!("t{n}"), "u1").await;
        let (id, with) = credentials(&told).unwrap_or_else(|| panic!("no password: {told}"));
        let url = told["mqtt"]["url"].as_str().unwrap();
        let expected = format!("mqtts://127.0.0.1:{}", broker.broker.port());
        assert_eq!(url, expected);
        let enter = |with: &Issued| {
            let at = (url, files.path("ours.pem"));
            Entering::open_over_tls(at, version, &id, Some(with))
        };
        let mut terminal = enter(&with);
        assert!(terminal.is_let_in().await.is_some(), "{version:?}");
        let topics = told["modules"][MODULE]["topics"].as_array().unwrap();
        let topics: Vec<_> = topics.iter().map(|topic| topic.as_str().unwrap()).collect();
        assert_eq!(terminal.subscribe(&topics).await, Some(Grant::AtLeastOnce));
        for other in [
            "changeover/c/commission/u2",
            "changeover/c/commission/+",
            "#",
        ] {
            let granted = terminal.subscribe(&[other]).await;
            assert_eq!(granted, Some(Grant::Refused), "{version:?} {other}");
        }
        for (audience, value) in [("u2", "another's".to_owned()), ("u1", format!("own {n}"))] {
            let change = json!({"key": "k", "audience": audience, "value": value});
            client.ingest(&change).await;
        }
        loop {
            let (topic, payload) = terminal.message().await;
            assert!(!payload.contains("another's"), "{topic}");
            if payload.contains(&format!("own {n}")) {
                assert_eq!(topic, "changeover/c/commission/u1");
                break;
            }
        }
        terminal.close().await;
        let password = with.password.to_lowercase();
        let mut wrong = enter(&Issued { password, ..with });
        assert_eq!(wrong.is_let_in().await, None);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_of_another_ca_is_told_no_passwords() {
    if servers_are_skipped() {
        return;
    }
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let files = Files::new();
    // Believed is somebody else, until the file is put right.
    let ca = files.ca("believed", &theirs);
    let broker = Dynsec::start_over_tls(&ours);
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let target = dynsec::target_by("mqtts", broker.broker.port(), &ca);
    let setup = setup(&database, "gw-1", &target).set("dynsec.wait_ms", 100);
    let gateway = InProcess::start(&setup).await;
    let client = &gateway.client;
    eventually("the target tells it", START, async || {
        let targets = client.get("/admin/v1/targets").await.json();
        let trouble = targets["targets"][0]["trouble"].as_str()?.to_owned();
        trouble
            .contains("is not of a CA in `ca_file`")
            .then_some(())
    })
    .await;
    let told = session(client, "t1", "u1").await;
    assert_eq!(credentials(&told), None, "{told}");
    assert_eq!(
        told["modules"][MODULE]["reason"], "broker-unready",
        "{told}"
    );
    assert_eq!(broker.carried_out("createClient"), 0);
    files.ca("believed", &ours);
    eventually("clients are made", START, async || {
        credentials(&session(client, "t1", "u1").await)
    })
    .await;
    gateway.stop().await;
}
