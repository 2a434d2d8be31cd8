use std::sync::atomic::{AtomicU32, Ordering};

use tokio::{task::JoinSet, time::sleep};

use super::*;

const MODULES: [&str; 3] = ["a", "b", "c"];

const THREADS: usize = 4;

fn module(name: &str) -> ModuleName {
    name.parse().unwrap()
}

fn admission(database: u32, per_module: u32, queue: usize, wait_ms: u64) -> Admission {
    let bounds = config::admission::Admission {
        tail: 1,
        database: Some(database),
        database_per_module: Some(per_module),
        queue_per_module: queue,
        wait_ms,
        ..config::admission::Admission::default()
    };
    Admission::new(&bounds, 8, THREADS, &MODULES.map(module), || 0.5)
}

async fn enter(admission: &Admission, name: &str) -> Result<Permit, Busy> {
    admission.enter(Class::Database, &module(name)).await
}

#[test]
fn who_is_refused_comes_back_after_six_to_ten_seconds() {
    let at = |chance| Busy::at_random(chance).retry_after_s;
    assert_eq!([0.0, 0.5, 0.99, 1.0].map(at), [6, 8, 10, 10]);
}

#[tokio::test]
async fn the_classes_do_not_touch_each_other() {
    let admission = admission(1, 1, 0, 100);
    let _database = enter(&admission, "a").await.unwrap();
    let tail = admission.enter(Class::Tail, &module("a")).await;
    let _tail = tail.unwrap();
    let full = admission.enter(Class::Tail, &module("a")).await;
    assert_eq!(full.unwrap_err().retry_after_s, 8);
}

#[tokio::test]
async fn a_share_of_the_tail_as_large_as_the_threads_is_not_counted() {
    let of = |tail_per_module| config::admission::Admission {
        tail: 8,
        tail_per_module: Some(tail_per_module),
        queue_per_module: 0,
        ..config::admission::Admission::default()
    };
    for (places, is_counted) in [(4, false), (3, true)] {
        let admission = Admission::new(&of(places), 8, THREADS, &MODULES.map(module), || 0.5);
        let mut inside = Vec::new();
        for _place in 0..places {
            inside.push(admission.enter(Class::Tail, &module("a")).await.unwrap());
        }
        let more = admission.enter(Class::Tail, &module("a")).await;
        assert_eq!(more.is_err(), is_counted, "{places} places");
    }
}

#[tokio::test]
async fn a_module_has_no_more_than_its_share() {
    let admission = admission(4, 2, 8, 100);
    let _first = enter(&admission, "a").await.unwrap();
    let _second = enter(&admission, "a").await.unwrap();
    enter(&admission, "a").await.unwrap_err();
    let _others = (
        enter(&admission, "b").await.unwrap(),
        enter(&admission, "c").await.unwrap(),
    );
    enter(&admission, "b").await.unwrap_err();
}

#[tokio::test]
async fn a_free_place_goes_to_the_module_that_has_the_fewest() {
    let admission = Arc::new(admission(2, 2, 8, 60_000));
    let held = [
        enter(&admission, "a").await.unwrap(),
        enter(&admission, "a").await.unwrap(),
    ];
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut waiting = JoinSet::new();
    for name in ["a", "a", "b"] {
        let (admission, order) = (Arc::clone(&admission), Arc::clone(&order));
        waiting.spawn(async move {
            let permit = enter(&admission, name).await.unwrap();
            order.lock().unwrap().push(name);
            permit
        });
        tokio::task::yield_now().await;
    }
    let mut inside = Vec::new();
    for permit in held {
        drop(permit);
        inside.push(waiting.join_next().await.unwrap().unwrap());
    }
    // `b` came last and had none; then both had one, and the first of `a` had waited longest.
    assert_eq!(*order.lock().unwrap(), ["b", "a"]);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_a_cancelled_wait_leaves_no_trace() {
    let admission = Arc::new(admission(1, 1, 1, 60_000));
    let held = enter(&admission, "a").await.unwrap();
    let (patient, strain) = (Arc::clone(&admission), admission.strain(&module("a")));
    let waiting = tokio::spawn(async move { enter(&patient, "a").await });
    while admission.strain(&module("a")) == strain {
        tokio::task::yield_now().await;
    }
    enter(&admission, "a").await.unwrap_err();
    waiting.abort();
    let _aborted = waiting.await;
    drop(held);
    let _free = enter(&admission, "a").await.unwrap();
}

/// Many come, some give up, on real threads: never more inside than allowed, and at the end each
/// place is free. A wake-up that got lost would show as one who waits out all its patience.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_place_and_no_wake_up_gets_lost() {
    const PLACES: u32 = 3;
    let admission = Arc::new(admission(PLACES, 2, 10_000, 60_000));
    let inside = Arc::new(AtomicU32::new(0));
    let mut readers = JoinSet::new();
    for reader in 0..64_u64 {
        let (admission, inside) = (Arc::clone(&admission), Arc::clone(&inside));
        readers.spawn(async move {
            let name = MODULES[usize::try_from(reader % 3).unwrap()];
            for _ in 0..200 {
                let wait = enter(&admission, name);
                if rand::random_ratio(1, 8) {
                    let micros = Duration::from_micros(rand::random_range(0..50));
                    let _gave_up = tokio::time::timeout(micros, wait).await;
                    continue;
                }
                let permit = wait.await.expect("nobody stays inside for long");
                assert!(inside.fetch_add(1, Ordering::SeqCst) < PLACES);
                if rand::random() {
                    tokio::task::yield_now().await;
                } else if rand::random_ratio(1, 20) {
                    sleep(Duration::from_micros(100)).await;
                }
                inside.fetch_sub(1, Ordering::SeqCst);
                drop(permit);
            }
        });
    }
    let done = tokio::time::timeout(Duration::from_secs(50), readers.join_all()).await;
    done.expect("a wake-up was lost");
    let all = ["a", "b", "c"].map(|name| enter(&admission, name));
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
}
