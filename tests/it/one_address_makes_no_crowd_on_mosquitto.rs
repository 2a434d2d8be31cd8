//! `credentials = "dynsec"` where callers are not told apart: one address has its share of the clients that are made on the broker, whichever replica
//! makes them and however often it is started again.

use serde_json::Value;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    dynsec::{Dynsec, credentials, session_from, setup},
    eventually,
    gateway::{Client, InProcess, MODULE, Program, START, Setup},
    metrics::metric,
    servers_are_skipped,
};

const CROWD: &str = "192.0.2.1";
const OTHER: &str = "192.0.2.2";

fn replica(database: &DatabaseUnderTest, name: &str, broker: &Dynsec) -> Setup {
    setup(database, name, &broker.target())
        .unmoved()
        .set("server.proxies", "[\"127.0.0.1\"]")
        .set("dynsec.max_clients_per_address", 2)
        .set("dynsec.survey", "1s")
        .set("session.lifetime_ms", 86_400_000)
}

async fn asks(client: &Client, client_id: &str, address: &str) -> Value {
    session_from(client, client_id, "u1", Some(address)).await
}

async fn is_made(client: &Client, client_id: &str, address: &str) -> bool {
    credentials(&asks(client, client_id, address).await).is_some()
}

/// Told to poll, and why; counted as such.
async fn is_beyond_its_share(client: &Client, client_id: &str) {
    let labels = [("why", "share")];
    let counted = async || metric(client, "changeover_dynsec_without_total", &labels).await;
    let before = counted().await;
    let told = asks(client, client_id, CROWD).await;
    assert_eq!(credentials(&told), None, "{told}");
    assert_eq!(
        told["modules"][MODULE]["reason"], "broker-unready",
        "{told}"
    );
    assert!(told["next_session_ms"].as_u64().unwrap() <= 30_000);
    assert!(counted().await > before, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_has_its_share_and_leaves_the_others_theirs() {
    if servers_are_skipped() {
        return;
    }
    let (broker, database) = (Dynsec::start(), sqlite().await);
    let gateway = Program::start(&replica(&database, "gw-1", &broker)).await;
    let client = &gateway.client;
    for id in ["t0", "t1"] {
        assert!(is_made(client, id, CROWD).await);
    }
    is_beyond_its_share(client, "t2").await;
    // Whoever has one keeps it, and others have theirs.
    assert!(is_made(client, "t1", CROWD).await);
    assert!(is_made(client, "t2", OTHER).await);
    assert_eq!(broker.clients().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_have_made_and_it_itself_before_counts() {
    if servers_are_skipped() {
        return;
    }
    let (broker, database) = (Dynsec::start(), sqlite().await);
    let mut gateway = Program::start(&replica(&database, "gw-1", &broker)).await;
    assert!(is_made(&gateway.client, "t0", CROWD).await);
    // Another replica makes one, which the first one sees when it looks again.
    let other = InProcess::start(&replica(&database, "gw-2", &broker)).await;
    assert!(is_made(&other.client, "t1", CROWD).await);
    eventually("it has seen both", START, async || {
        let target = [("target", "local")];
        let seen = metric(&gateway.client, "changeover_dynsec_clients", &target).await;
        (seen > 1.5).then_some(())
    })
    .await;
    is_beyond_its_share(&gateway.client, "t2").await;
    other.stop().await;
    gateway.kill();
    gateway.restart().await;
    // Known from the broker, not asked for here.
    assert!(is_made(&gateway.client, "t2", OTHER).await);
    is_beyond_its_share(&gateway.client, "t2").await;
    assert_eq!(broker.clients().len(), 3);
}

async fn sqlite() -> DatabaseUnderTest {
    DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap()
}
