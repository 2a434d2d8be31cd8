//! `credentials = "dynsec"`, and all clients ask for their session in the same moment: the broker takes its time, and nobody is told otherwise. Who cannot be
//! made in time is told when to come again, and comes in; and at their end all go.
//!
//! Its figures stand in docs/PERFORMANCE.md.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use changeover::identity::passes::Issued;
use futures_util::future::join_all;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    dynsec::{Dynsec, credentials, session},
    eventually,
    gateway::{Client, MODULE, Program, Setup},
    passes::Entering,
    servers_are_skipped,
};

const CLIENTS: usize = 2_000;
/// Until everybody is in, and until everybody is gone after that.
const PATIENCE: Duration = Duration::from_mins(4);
/// A user is good for four fifths to five quarters of it.
const LIFETIME_MS: u32 = 60_000;

/// What it took a client to get in.
struct Entered {
    terminal: Entering,
    after: Duration,
    asked: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_get_in_and_all_go() {
    if servers_are_skipped() {
        return;
    }
    let broker = Dynsec::start();
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    // As it comes, but for the address that they have in common here.
    let setup = Setup::new(&database, "gw-1")
        .add(&broker.target())
        .set("guard.enabled", false)
        .set("dynsec.max_clients_per_address", 10_000)
        .set("session.lifetime_ms", LIFETIME_MS);
    let gateway = Program::start(&setup).await;
    let (client, began, inside) = (&gateway.client, Instant::now(), AtomicUsize::new(0));
    let coming = (0..CLIENTS).map(|n| comes(client, &broker, n, (began, &inside)));
    let mut entered = join_all(coming).await;
    entered.sort_by_key(|one| one.after);
    let (at_once, most) = (
        entered.iter().filter(|one| one.asked == 1).count(),
        entered.iter().map(|one| one.asked).max().unwrap(),
    );
    let after = |part: usize| entered[CLIENTS * part / 100 - 1].after;
    println!(
        "{CLIENTS} at once: {at_once} with their first session; half after {:?}, 95 % after {:?}, the last after {:?}; at most {most} sessions",
        after(50),
        after(95),
        after(100)
    );
    assert!(
        at_once < CLIENTS,
        "nobody had to come again: it shows nothing"
    );

    let ends = entered
        .iter_mut()
        .map(|one| one.terminal.ended_within(PATIENCE));
    join_all(ends).await;
    println!("all connections are ended after {:?}", began.elapsed());
    eventually("nothing is left", PATIENCE, async || {
        broker.clients().is_empty().then_some(())
    })
    .await;
    println!("no user is left after {:?}", began.elapsed());
}

/// Asks for a session when it was told to, until the broker lets it in.
async fn comes(
    client: &Client,
    broker: &Dynsec,
    n: usize,
    (began, inside): (Instant, &AtomicUsize),
) -> Entered {
    let (name, audience) = (format!("t{n}"), format!("u{}", n % 100));
    for asked in 1.. {
        let told = session(client, &name, &audience).await;
        let Some((id, with)) = credentials(&told) else {
            let module = &told["modules"][MODULE];
            assert_eq!(module["reason"], "broker-unready", "{told}");
            assert_eq!(module["transport"], "poll", "{told}");
            let again = told["next_session_ms"].as_u64().unwrap();
            assert!((5_000..=30_000).contains(&again), "{told}");
            let inside = inside.load(Ordering::Relaxed);
            assert!(began.elapsed() < PATIENCE, "{inside} of {CLIENTS} are in");
            tokio::time::sleep(Duration::from_millis(again)).await;
            continue;
        };
        let terminal = enters(broker, (&id, &with), &name).await;
        inside.fetch_add(1, Ordering::Relaxed);
        return Entered {
            terminal,
            after: began.elapsed(),
            asked,
        };
    }
    unreachable!("it asks until it is in");
}

/// Whoever is told a password can use it, if the broker has time for it.
async fn enters(broker: &Dynsec, (id, with): (&str, &Issued), name: &str) -> Entering {
    loop {
        let mut terminal = Entering::open_in_a_crowd(&broker.broker.url(), id, with);
        match terminal.is_let_in_within(PATIENCE).await {
            Ok(_session) => return terminal,
            Err(why) => assert!(!why.contains("return code"), "{name} is refused: {why}"),
        }
    }
}
