//! What the tests stand on: real servers, real files, hands to drive them, and the promise that
//! nothing of it outlives the test binary.

pub mod backup;
pub mod broker;
pub mod callers;
pub mod channel_witness;
pub mod client_rule;
pub mod clients;
pub mod copies;
pub mod crowd;
pub mod database;
pub mod deaf;
pub mod described;
#[cfg(feature = "embedded-broker")]
pub mod dynsec;
pub mod embedded;
pub mod folder;
pub mod follower;
pub mod gateway;
pub mod guarded;
pub mod hooks;
#[cfg(feature = "embedded-broker")]
pub mod letting_in;
pub mod links;
pub mod load;
pub mod logbook;
pub mod mariadb;
pub mod metrics;
pub mod mirror_rig;
pub mod mosquitto;
pub mod native;
pub mod nats;
pub mod passes;
pub mod pki;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod pruned;
pub mod pty;
pub mod rabbitmq;
pub mod reckoning;
pub mod secure;
pub mod session;
pub mod socket;
pub mod stingy;
pub mod streams;
pub mod targets;
pub mod terminal;
pub mod token;
pub mod verifying;
pub mod witness;

use std::{
    future::Future,
    net::TcpListener,
    time::{Duration, Instant},
};

/// Whether a person has asked, by hand, to leave out the tests that need a server.
pub fn servers_are_skipped() -> bool {
    std::env::var_os("CHANGEOVER_TEST_SKIP_SERVERS").is_some_and(|value| value == "1")
}

/// How long trouble lasts in the tests that make it again and again: `CHANGEOVER_TEST_SECONDS`, or as long as the
/// suite has patience for.
pub fn trouble_lasts() -> Duration {
    let asked = std::env::var("CHANGEOVER_TEST_SECONDS").ok();
    let seconds = asked.map_or(12, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A free port that no outgoing connection takes either while its server is away: it lies below those
/// that the system gives out.
pub fn lasting_port() -> u16 {
    loop {
        let port = rand::random_range(15_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Looks again and again until `look` gives something; panics with `what` after `patience`.
pub async fn eventually<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not in {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Bounds a wait in a test.
pub async fn within<T>(what: &str, patience: Duration, wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(patience, wait).await;
    waited.unwrap_or_else(|_late| panic!("not in {patience:?}: {what}"))
}
