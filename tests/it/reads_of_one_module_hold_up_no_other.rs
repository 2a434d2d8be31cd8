//! A read that wants the newest asks the database for its own module's head. However often that happens, the replica
//! goes on following the modules that nobody reads so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use http::StatusCode;
use serde_json::json;

use crate::support::{
    database::DatabaseUnderTest,
    eventually,
    gateway::{Client, InProcess, Setup},
};

crate::on_each_database!(a_replica_follows_what_nobody_reads);

/// Well below `tail.full_ms` here, after which everything is read in any case.
const SOON: Duration = Duration::from_secs(30);

async fn a_replica_follows_what_nobody_reads(database: DatabaseUnderTest) {
    let leader = InProcess::start(&Setup::new(&database, "a").among_others()).await;
    leader
        .client
        .ingest(&json!({"key": "first", "value": 0}))
        .await;
    leader.client.items(0, 1, SOON).await;
    let setup = Setup::new(&database, "b")
        .among_others()
        .set("tail.full_ms", 60_000);
    let other = InProcess::start(&setup).await;
    other.client.items(0, 1, SOON).await;

    let (done, reads) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let readers = [0, 1].map(|_| {
        tokio::spawn(read_the_other_module(
            other.client.clone(),
            Arc::clone(&done),
            Arc::clone(&reads),
        ))
    });
    for number in 1..=20 {
        leader
            .client
            .ingest(&json!({"key": format!("k{number}"), "value": number}))
            .await;
        let before = reads.load(SeqCst);
        eventually("the change is there", SOON, async || {
            (other.client.page(number, 10).await.items.len() == 1).then_some(())
        })
        .await;
        eventually("the reads go on", SOON, async || {
            (reads.load(SeqCst) > before).then_some(())
        })
        .await;
    }
    done.store(true, SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
    println!("{} reads of the other module meanwhile", reads.load(SeqCst));
    other.stop().await;
    leader.stop().await;
}

/// Asks where the other module's stream ends, again and again.
async fn read_the_other_module(client: Client, done: Arc<AtomicBool>, reads: Arc<AtomicU64>) {
    let url = format!("{}/v1/streams/notices?offset=now", client.public);
    while !done.load(SeqCst) {
        let answer = client.send(client.http.get(&url)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        reads.fetch_add(1, SeqCst);
    }
}
