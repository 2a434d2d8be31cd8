//! How fast rows are numbered. Not asserted: run by hand with
//! `cargo test --release --test it speed -- --ignored --nocapture`.

use std::time::Instant;

use super::changes::{change, held, module, number};
use crate::support::database::{DatabaseUnderTest, Kind};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn rows_per_second() {
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::MariaDb] {
        if let Some(database) = DatabaseUnderTest::fresh(kind).await {
            measure(database).await;
        }
    }
}

async fn measure(database: DatabaseUnderTest) {
    const BATCHES: u32 = 20;
    const ROWS: u32 = 2_000;
    let store = database.store().await;
    let name = module("speed");
    let lease = held(&store, &name).await;
    let (mut appending, mut numbering) = (0.0, 0.0);
    for batch in 0..BATCHES {
        let value = format!(r#"{{"text":"{}"}}"#, "x".repeat(180));
        let rows: Vec<_> = (0..ROWS)
            .map(|row| {
                change(
                    &name,
                    &format!("u{}", row % 500),
                    &format!("{batch}-{}", row % 1_000),
                    &value,
                )
            })
            .collect();
        let started = Instant::now();
        store.append(&rows).await.unwrap();
        appending += started.elapsed().as_secs_f64();
        let started = Instant::now();
        number(&store, &lease).await.unwrap();
        numbering += started.elapsed().as_secs_f64();
    }
    let rows = f64::from(BATCHES * ROWS);
    println!(
        "{:?}: {:.0} rows/s numbered (scan, begin, last positions, write with state, commit), {:.0} rows/s appended",
        database.kind,
        rows / numbering,
        rows / appending
    );
}
