//! What tests start: real servers, and hands to drive them.

pub mod follower;
pub mod mirror_rig;
pub mod mosquitto;

use std::{
    future::Future,
    net::TcpListener,
    time::{Duration, Instant},
};

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
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
    waited.unwrap_or_else(|_| panic!("not in {patience:?}: {what}"))
}
