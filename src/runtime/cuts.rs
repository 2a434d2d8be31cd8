//! When clients that do not let go are cut off during a stop.
//!
//! Invariant: however clients behave, half of `server.drain_ms` is left for what must not
//! be lost: cursors are written and leases given back.

use std::{convert::Infallible, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The cut of each listener.
#[derive(Debug, Clone, Default)]
pub(super) struct Cuts {
    pub(super) public: CancellationToken,
    pub(super) private: CancellationToken,
}

impl Cuts {
    /// Cuts in time, for a stop that begins now and may take `drain`: at two fifths of it what polls
    /// and streams, at half of it what posts changes.
    pub(super) async fn run(&self, drain: Duration) -> Infallible {
        sleep(drain * 2 / 5).await;
        self.public.cancel();
        sleep(drain / 10).await;
        self.private.cancel();
        std::future::pending().await
    }
}
