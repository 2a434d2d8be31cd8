//! The writer of what was counted: every `savings.flush`, and at the end of each hour.
//!
//! Invariants: a flush is added once: one whose outcome is unknown is tried again as it is, under its own number, before anything later;
//! while the database is away, what is kept of it is bounded.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    config::savings::Savings,
    cutover::Flags,
    domain::{Clock, Micros, ModuleName, Stage},
    store::{self, Store, UsageFlush},
    telemetry::usage::{Book, SAMPLE_EVERY, Usage},
};

/// How long the last flush of a process may take.
const LAST_FLUSH: Duration = Duration::from_secs(2);
/// Most rows that are forgotten with one flush.
const FORGOTTEN: u32 = 2_000;

/// The task that writes down what this process has counted.
pub struct UsageWriter {
    store: Arc<dyn Store>,
    usage: Arc<Usage>,
    flags: Arc<Flags>,
    clock: Arc<dyn Clock>,
    every: Duration,
    keep: Duration,
    run: i64,
    /// How many flushes were begun.
    begun: i64,
    book: Book,
    /// Begun, and not known to be written.
    open: Option<UsageFlush>,
    failing: bool,
}

impl UsageWriter {
    /// A writer of what is counted from now on. `run` is drawn anew by each process.
    pub fn new(
        store: Arc<dyn Store>,
        usage: Arc<Usage>,
        flags: Arc<Flags>,
        clock: Arc<dyn Clock>,
        settings: &Savings,
        run: i64,
    ) -> Self {
        Self {
            store,
            usage,
            flags,
            every: settings.flush.get(),
            keep: settings.keep.get(),
            run,
            begun: 0,
            book: Book::new(clock.now()),
            clock,
            open: None,
            failing: false,
        }
    }

    /// Writes until told to stop, and once more then.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut flushed = Instant::now();
        while !stop.is_cancelled() {
            let due = self.every.saturating_sub(flushed.elapsed());
            let hour = self.book.hour_ends().since(self.clock.now());
            let pause = SAMPLE_EVERY.min(due).min(hour);
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(pause) => {}
            }
            self.usage.sample(Instant::now());
            if flushed.elapsed() >= self.every || self.clock.now() >= self.book.hour_ends() {
                flushed = Instant::now();
                let outcome = self.flush().await;
                self.report(&outcome);
            }
        }
        let last = timeout(LAST_FLUSH, self.flush()).await;
        if !matches!(last, Ok(Ok(()))) {
            tracing::warn!("what was counted last could not be written");
        }
    }

    /// Writes what was counted up to now, and what could not be written before.
    pub async fn flush(&mut self) -> store::Result<()> {
        let now = self.clock.now();
        self.enter(now);
        loop {
            let flush = match self.open.take().or_else(|| self.next(now)) {
                Some(flush) => self.open.insert(flush),
                None => break,
            };
            self.store.add_usage(flush).await?;
            self.open = None;
        }
        let forgotten = now.minus(self.keep);
        self.store
            .forget_usage(forgotten, FORGOTTEN)
            .await
            .map(drop)
    }

    fn enter(&mut self, now: Micros) {
        let flags = Arc::clone(&self.flags);
        let stage = |module: &ModuleName| {
            let record = flags.record(module);
            record.map_or(Stage::Mirror, |record| record.stage)
        };
        self.book.enter(&self.usage, stage, now);
    }

    fn next(&mut self, at: Micros) -> Option<UsageFlush> {
        let rows = self.book.take();
        if rows.is_empty() {
            return None;
        }
        self.begun += 1;
        Some(UsageFlush {
            run: self.run,
            number: self.begun,
            at,
            rows,
        })
    }

    fn report(&mut self, outcome: &store::Result<()>) {
        match outcome {
            Err(error) if !self.failing => {
                tracing::warn!(%error, "what was counted cannot be written, it waits in memory");
            }
            Ok(()) if self.failing => tracing::info!("what was counted is written again"),
            _ => {}
        }
        self.failing = outcome.is_err();
    }
}
