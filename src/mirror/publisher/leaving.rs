//! The end of a publisher, in order.

use std::time::{Duration, Instant};

use tokio::{task::JoinSet, time::timeout};

use super::{
    Publisher,
    jobs::{Kind, MirrorStore},
};
use crate::mirror::line;

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Waits, bounded, for acknowledgements, writes the cursors and takes leave of the broker.
    pub(super) async fn finish(mut self) {
        let patience = Duration::from_millis(self.settings.drain_ms);
        let last_words = async {
            self.await_acknowledgements().await;
            while self.send_last_bookmarks() > 0 {
                self.await_acknowledgements().await;
            }
        };
        let _late = timeout(patience, last_words).await;
        self.leave(patience).join_all().await;
        if timeout(patience, self.write_last()).await.is_err() {
            tracing::warn!(broker = %self.target.name, "the last cursors were not written in time: the next start repeats changes");
        }
        self.report();
    }

    /// Begins to take leave of the broker on all lines.
    pub(super) fn leave(&mut self, patience: Duration) -> JoinSet<()> {
        let mut leaving = JoinSet::new();
        for on in 0..self.lines.len() {
            if let Some(connection) = self.part(on) {
                leaving.spawn(connection.link.close(patience));
            }
        }
        self.status.set_left();
        leaving
    }

    async fn await_acknowledgements(&mut self) {
        while self.ledger.outstanding() > 0 {
            let (on, signals) = line::next(&mut self.lines, 0).await;
            self.on_signals(on, signals);
        }
    }

    async fn write_last(&mut self) {
        loop {
            while !self.jobs.is_empty() {
                let done = self.jobs.next().await;
                self.on_job(done);
            }
            let now = Instant::now();
            if !self.jobs.may(Kind::Write, now) {
                return;
            }
            self.write();
            if self.jobs.is_empty() {
                return;
            }
        }
    }
}
