//! The task that keeps the census: it writes what changed, forgets what is old, and counts.
//!
//! Invariants: while the database is away everything stays in memory, within the bounds that it has there anyway, and is written later; one
//! statement writes `census.batch` clients at most, and a pass only those who were seen otherwise than is written, or are to be seen anew.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::gauge;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Census, clients::Noted, counts::Count, exchange::exchange, record::Record, seen::Moment,
    slices::PER_WINDOW, tenths,
};
use crate::{
    domain::{Clock, Transport},
    store::{self, Sighting, Sketch, Store},
    telemetry::metric,
};

/// Passes between two times that sketches are written and read, memory is tidied and rows are forgotten.
const SELDOM: u32 = 6;
/// Rows that are forgotten at once.
const FORGOTTEN: u32 = 5_000;
/// How often stored addresses are looked for where none should be: a replica that is configured otherwise may still write some.
const ADDRESSES_EVERY: Duration = Duration::from_hours(1);
/// Counting may take this share of one connection's time (one part in ...).
const COUNT_SHARE: u32 = 20;

/// The task that writes the census.
pub struct CensusKeeper {
    census: Arc<Census>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    instance: String,
    record: Record,
    /// Taken out of the queues and not written yet.
    batch: Vec<Noted>,
    sketches: Vec<Sketch>,
    passes: u32,
    renewed_at: Option<Instant>,
    count_at: Instant,
    /// When addresses are looked for again, after none were found.
    addresses_at: Option<Instant>,
    failing: bool,
}

impl CensusKeeper {
    /// A keeper for the replica of this name.
    pub fn new(
        census: Arc<Census>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        instance: String,
    ) -> Self {
        let settings = &census.settings;
        let record = Record::new(
            Arc::clone(&store),
            instance.clone(),
            census.modules.keys().cloned().collect(),
            (settings.gap.get(), settings.keep.get()),
        );
        Self {
            census,
            store,
            clock,
            instance,
            record,
            batch: Vec::new(),
            sketches: Vec::new(),
            passes: 0,
            renewed_at: None,
            count_at: Instant::now(),
            addresses_at: None,
            failing: false,
        }
    }

    /// Keeps it until told to stop, and writes once more then.
    pub async fn run(mut self, stop: CancellationToken) {
        if !self.census.settings.enabled {
            self.forget_on(stop).await;
            return;
        }
        while !stop.is_cancelled() {
            let outcome = self.pass().await;
            self.report(&outcome);
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(self.census.settings.flush.get()) => {}
            }
        }
        if let Err(error) = self.end().await {
            tracing::warn!(%error, "what was seen of clients at last is not written");
        }
    }

    async fn end(&mut self) -> store::Result<()> {
        self.write(Instant::now()).await?;
        self.record.end().await
    }

    /// A census that is off sees nobody. What it knew is kept for no longer than before.
    async fn forget_on(&mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let outcome = self.forget_all().await;
            self.report(&outcome);
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(self.census.settings.flush.get() * SELDOM) => {}
            }
        }
        // Another replica that keeps one knows nothing of those who polled here since the last time.
        if let Err(error) = self.record.deny().await {
            tracing::warn!(%error, "that no census was kept is not written");
        }
    }

    async fn forget_all(&mut self) -> store::Result<()> {
        self.record.deny().await?;
        self.forget().await?;
        let window = self.census.slice_length() * (PER_WINDOW + 1);
        let before = self.clock.now().minus(window);
        self.store.forget_sketches(before).await?;
        Ok(())
    }

    /// One pass.
    pub async fn pass(&mut self) -> store::Result<()> {
        let now = Instant::now();
        self.census.begin_slice(self.clock.now());
        self.renew(now);
        let is_seldom = self.passes.is_multiple_of(SELDOM);
        self.passes = self.passes.wrapping_add(1);
        if is_seldom {
            self.tidy(now);
        }
        self.write(now).await?;
        self.record.note(now).await?;
        if is_seldom {
            self.sketches = exchange(&self.census, &*self.store, &self.instance).await?;
            self.forget().await?;
        }
        if now >= self.count_at {
            self.count().await?;
        }
        Ok(())
    }

    /// Says of those who are connected that they still are, in time for what is written of it.
    fn renew(&mut self, now: Instant) {
        let every = self.census.settings.resolution.get() / 2;
        if self
            .renewed_at
            .is_none_or(|at| now.duration_since(at) >= every)
        {
            self.renewed_at = Some(now);
            self.census.presence.renew(now);
        }
    }

    /// Forgets in memory who was not seen within the window.
    fn tidy(&self, now: Instant) {
        let census = &self.census;
        let window = tenths(census.settings.window.get());
        let now = census.common.moment(now);
        let since = Moment::at(now.since(Moment::at(window)));
        for clients in census.modules.values() {
            clients.forget(since);
        }
        census.common.agents.tidy();
    }

    /// Writes all that is queued, in batches.
    async fn write(&mut self, now: Instant) -> store::Result<()> {
        let most = self.census.settings.batch;
        let taken_at = self.census.common.moment(now);
        let modules: Vec<_> = self.census.modules.values().cloned().collect();
        // Who comes again meanwhile waits for the next pass.
        let mut left: usize = modules.iter().map(|clients| clients.queued()).sum();
        loop {
            if self.batch.is_empty() {
                for clients in &modules {
                    clients.take(most, taken_at, &mut self.batch);
                }
                left = left.saturating_sub(self.batch.len());
            }
            if self.batch.is_empty() {
                return Ok(());
            }
            let now = self.census.common.moment(Instant::now());
            let sightings: Vec<Sighting> =
                self.batch.iter().map(|noted| noted.sighting(now)).collect();
            self.store.note_clients(&sightings).await?;
            self.batch.clear();
            if left == 0 {
                return Ok(());
            }
        }
    }

    /// Deletes the rows of those who were not seen for long, some at a time.
    async fn forget(&mut self) -> store::Result<()> {
        let keep = self.census.settings.keep.get();
        let gone = self.store.forget_clients(keep, FORGOTTEN).await?;
        if gone > 0 {
            tracing::debug!(
                clients = gone,
                "the census has forgotten who was not seen for long"
            );
        }
        self.forget_addresses().await
    }

    /// Forgets the addresses of when they were kept, some at a time.
    async fn forget_addresses(&mut self) -> store::Result<()> {
        let now = Instant::now();
        let is_due = self.addresses_at.is_none_or(|at| now >= at);
        if self.census.settings.addresses || !is_due {
            return Ok(());
        }
        let gone = self.store.forget_addresses(FORGOTTEN).await?;
        self.addresses_at = (gone == 0).then(|| now + ADDRESSES_EVERY);
        Ok(())
    }

    async fn count(&mut self) -> store::Result<()> {
        let settings = &self.census.settings;
        let window = settings.window.get();
        let begun = Instant::now();
        let rows = self.store.count_clients(window).await?;
        let took = begun.elapsed();
        let known = self.store.known_since(self.record.gap()).await?;
        let count = Count::new(known, window, rows, &self.sketches);
        for module in self.census.modules.keys() {
            let counted = count.of(module);
            show(module.as_str(), Transport::Push, counted.push);
            show(module.as_str(), Transport::Poll, counted.poll);
            gauge!(metric::CLIENTS_WITHOUT_ID, "module" => module.to_string())
                .set(figure(counted.without_id));
        }
        self.census.counts.set(count);
        self.count_at = Instant::now() + settings.count_every.get().max(took * COUNT_SHARE);
        Ok(())
    }

    fn report(&mut self, outcome: &store::Result<()>) {
        match outcome {
            Err(error) if !self.failing => {
                tracing::warn!(%error, "the census cannot be written: who was seen is kept in memory until it can");
            }
            Ok(()) if self.failing => tracing::info!("the census is written again"),
            _ => {}
        }
        self.failing = outcome.is_err();
    }
}

fn show(module: &str, transport: Transport, count: u64) {
    gauge!(metric::CLIENTS, "module" => module.to_owned(), "transport" => transport.as_str())
        .set(figure(count));
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of clients are below 2^52"
)]
const fn figure(count: u64) -> f64 {
    count as f64
}
