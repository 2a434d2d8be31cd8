//! Starting the tasks that run as long as the process does.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    StartError,
    parts::Parts,
    tasks::{Rank, Tasks},
};
use crate::{
    cutover::{FlagsReader, PanicFile, PanicReader, guard::GuardWatch},
    domain::SystemClock,
    identity::operators::enrol_admin,
    log::{IngestWriter, Sequencer, Shared, TailReader},
    mirror::{self, StandingsReader},
    telemetry::{self, metric},
};

const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// The outbox is counted so far; a longer queue is one that somebody must look at anyway.
const OUTBOX_COUNTED: u32 = 100_000;

/// Starts what numbers, follows and flips. Returns the signs that the tail is filled, the flags are
/// read, and the panics.
pub(super) fn start_log(
    tasks: &mut Tasks,
    parts: &Parts,
    ingest: IngestWriter,
) -> Vec<watch::Receiver<bool>> {
    tasks.spawn(Rank::Ingest, "ingest writer", |stop| ingest.run(stop));

    let shared = Shared {
        store: Arc::clone(&parts.store),
        tail: Arc::clone(&parts.tail),
        presence: Arc::clone(&parts.presence),
        leadership: Arc::clone(&parts.leadership),
        witnesses: Arc::clone(&parts.witnesses),
        wake: Arc::clone(&parts.wake),
        readiness: Arc::clone(&parts.readiness),
    };
    let sequencer = Sequencer::new(shared, parts.served.clone(), parts.rules());
    tasks.spawn(Rank::Sequencer, "sequencer", |stop| sequencer.run(stop));

    let retention = Arc::clone(&parts.retention);
    tasks.spawn(Rank::Mirror, "retention", |stop| retention.run(stop));
    let epochs = Arc::clone(&parts.epochs);
    tasks.spawn(Rank::Sequencer, "epochs", |stop| epochs.run(stop));

    let (tail_reader, filled) = TailReader::new(
        Arc::clone(&parts.store),
        Arc::clone(&parts.tail),
        Arc::clone(&parts.leadership),
        Arc::clone(&parts.refresh),
        Arc::clone(&parts.witnesses),
        parts.config.tail.clone(),
        Arc::clone(&parts.readiness),
    );
    let tail_reader = tail_reader.with_time_cursors(parts.served.paces.keys().cloned());
    tasks.spawn(Rank::Reader, "tail reader", |stop| tail_reader.run(stop));

    let standings = StandingsReader::new(Arc::clone(&parts.store), Arc::clone(&parts.standings));
    tasks.spawn(Rank::Reader, "standings reader", |stop| standings.run(stop));

    let (flags_reader, flags_read) = FlagsReader::new(
        Arc::clone(&parts.store),
        (Arc::clone(&parts.flags), Arc::clone(&parts.routes)),
    );
    tasks.spawn(Rank::Reader, "flags reader", |stop| flags_reader.run(stop));
    let keeper = parts.census_keeper();
    tasks.spawn(Rank::Reader, "census", |stop| keeper.run(stop));
    let panic_read = start_panic(tasks, parts);
    vec![filled, flags_read, panic_read]
}

/// Reads who may do what at the private listener, and goes on reading. The first of them is told by a file.
pub(super) async fn start_operators(tasks: &mut Tasks, parts: &Parts) -> Result<(), StartError> {
    let operators = Arc::clone(&parts.operators);
    operators.refresh().await?;
    if let Some(file) = parts.config.auth.admin_token_file() {
        enrol_admin(&operators, file, parts.presence.name()).await?;
    }
    tasks.spawn(Rank::Reader, "tokens", |stop| operators.run(stop));
    Ok(())
}

/// Starts what looks for panics, the file's before anybody is answered. Returns the sign that those of the database are read.
fn start_panic(tasks: &mut Tasks, parts: &Parts) -> watch::Receiver<bool> {
    if let Some(path) = &parts.config.panic.file {
        let file = PanicFile::new(
            path.clone(),
            Arc::clone(&parts.panic),
            Arc::new(SystemClock),
        );
        tasks.spawn(Rank::Reader, "panic file", |stop| file.run(stop));
    }
    let (reader, read) = PanicReader::new(
        Arc::clone(&parts.store),
        Arc::clone(&parts.panic),
        Arc::clone(&parts.panic_acts),
    );
    tasks.spawn(Rank::Reader, "panic reader", |stop| reader.run(stop));
    read
}

/// Starts what watches the mirror, if that is wanted. Returns the sign that the guards have been read: a restart tells clients what was
/// told before it.
pub(super) fn start_guards(
    tasks: &mut Tasks,
    parts: &Parts,
    mirror: &mirror::Status,
) -> Option<watch::Receiver<bool>> {
    let settings = &parts.config.guard;
    if !settings.enabled {
        return None;
    }
    let observer = mirror::Observer::new(
        mirror.clone(),
        Arc::clone(&parts.leadership),
        settings.missing_within.get(),
    );
    let (watch, read) = GuardWatch::new(
        Arc::clone(&parts.store),
        Arc::clone(&parts.guards),
        (Arc::clone(&parts.flags), Arc::clone(&parts.routes)),
        observer,
    );
    tasks.spawn(Rank::Mirror, "guards", |stop| watch.run(stop));
    Some(read)
}

/// Starts what keeps the metrics, and what writes down what was counted.
pub(super) fn start_upkeep(tasks: &mut Tasks, parts: &Parts) -> Result<(), StartError> {
    let metrics = telemetry::install_metrics().map_err(StartError::Metrics)?;
    let usage = parts.usage_writer();
    // After everything that counts.
    tasks.spawn(Rank::Reader, "usage", |stop| usage.run(stop));
    let store = Arc::clone(&parts.store);
    tasks.spawn(Rank::Reader, "metrics upkeep", |stop| {
        every(UPKEEP_EVERY, stop, move || {
            let (metrics, store) = (metrics.clone(), Arc::clone(&store));
            async move {
                metrics.run_upkeep();
                metrics::gauge!(metric::DATABASE_CONNECTIONS).set(f64::from(store.connections()));
                // During an outage the last depth stays; the log tells of the outage.
                if let Ok(depth) = store.outbox_depth(OUTBOX_COUNTED).await {
                    #[expect(
                        clippy::cast_precision_loss,
                        reason = "the count is bounded far below 2^52"
                    )]
                    metrics::gauge!(metric::OUTBOX_DEPTH).set(depth as f64);
                }
            }
        })
    });
    Ok(())
}

async fn every<F: Future<Output = ()>>(
    span: Duration,
    stop: CancellationToken,
    mut activate: impl FnMut() -> F,
) {
    let mut ticks = interval(span);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => activate().await,
        }
    }
}
