//! Memory and file handles of a process over time.

use std::{
    fs,
    sync::LazyLock,
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::interval};
use tokio_util::sync::CancellationToken;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// By how much the median of the last quarter may be above that of the second.
const MORE_MEMORY_PERCENT: u64 = 15;
const MORE_MEMORY_KIB: u64 = 8 * 1024;
const MORE_HANDLES: u64 = 8;

/// Since the first call.
pub(super) fn since_start() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    resident_kib: u64,
    handles: u64,
}

/// A process that is looked at.
pub(super) struct Vitals {
    enough: CancellationToken,
    looking: JoinHandle<Vec<Sample>>,
}

/// What was seen.
pub(super) struct Seen(Vec<Sample>);

impl Vitals {
    /// Begins.
    pub(super) fn of(process: i32) -> Self {
        let enough = CancellationToken::new();
        let told = enough.clone();
        since_start();
        let looking = tokio::spawn(async move {
            let mut samples = Vec::new();
            let mut pace = interval(EVERY);
            while !told.is_cancelled() {
                pace.tick().await;
                samples.push(look(process));
            }
            samples
        });
        Self { enough, looking }
    }

    /// Ends it.
    pub(super) async fn end(self) -> Seen {
        self.enough.cancel();
        Seen(self.looking.await.unwrap())
    }
}

fn look(process: i32) -> Sample {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.unwrap().trim().trim_end_matches(" kB");
    let handles = fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    Sample {
        resident_kib: resident.parse().unwrap(),
        handles: handles as u64,
    }
}

impl Seen {
    /// Prints the medians of all quarters, and holds the last one against the second.
    pub(super) fn print_and_judge(&self) {
        let quarter = |number: usize, of: fn(&Sample) -> u64| {
            let all = &self.0;
            let part = &all[all.len() * (number - 1) / 4..all.len() * number / 4];
            let mut values: Vec<_> = part.iter().map(of).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        let memory = [1, 2, 3, 4].map(|n| quarter(n, |sample| sample.resident_kib));
        let handles = [1, 2, 3, 4].map(|n| quarter(n, |sample| sample.handles));
        println!("medians of each quarter, of {} looks:", self.0.len());
        println!("resident memory, KiB: {memory:?}");
        println!("file handles: {handles:?}");
        let most_memory = memory[1] * (100 + MORE_MEMORY_PERCENT) / 100 + MORE_MEMORY_KIB;
        assert!(memory[3] <= most_memory, "memory grows: {memory:?} KiB");
        let most_handles = handles[1] + MORE_HANDLES;
        assert!(handles[3] <= most_handles, "file handles grow: {handles:?}");
    }
}
