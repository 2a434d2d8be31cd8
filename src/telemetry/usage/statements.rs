//! How many SQL statements were run: by this process, and for one piece of work.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::task_local;

static OF_PROCESS: AtomicU64 = AtomicU64::new(0);

task_local! {
    static OF_WORK: Cell<u64>;
}

/// One statement is run. Those of work that waits for another task's are not its own: that one serves others too.
pub(in crate::telemetry) fn count() {
    OF_PROCESS.fetch_add(1, Ordering::Relaxed);
    // Most statements belong to no work that asks.
    let _nobodys = OF_WORK.try_with(|count| count.set(count.get() + 1));
}

/// How many this process has run.
pub fn of_process() -> u64 {
    OF_PROCESS.load(Ordering::Relaxed)
}

/// Does some work, and says how many statements it has run itself. To be kept from what answers from memory: it costs
/// more than that.
pub async fn of<T>(work: impl Future<Output = T>) -> (T, u64) {
    let counted = async {
        let done = work.await;
        (done, OF_WORK.with(Cell::get))
    };
    OF_WORK.scope(Cell::new(0), counted).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Purpose, count_query};

    #[tokio::test]
    async fn only_its_own_statements_are_counted() {
        count_query(Purpose::Poll);
        let work = async {
            count_query(Purpose::Poll);
            tokio::task::yield_now().await;
            tokio::spawn(async { count_query(Purpose::Tail) })
                .await
                .unwrap();
            count_query(Purpose::State);
            "done"
        };
        let before = of_process();
        assert_eq!(of(work).await, ("done", 2));
        assert!(of_process() >= before + 3);
    }
}
