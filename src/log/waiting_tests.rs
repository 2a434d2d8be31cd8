use std::sync::atomic::AtomicU64;

use super::*;
use crate::{
    config,
    domain::{Change, Epoch, JsonText, Micros, Op, Position},
};

const LONG: Duration = Duration::from_secs(40);

fn change(position: u64, audience: &Audience) -> Arc<Change> {
    Arc::new(Change {
        epoch: Epoch::FIRST,
        position: Position::new(position),
        previous: Position::ZERO,
        audience: audience.clone(),
        key: "k".into(),
        op: Op::Upsert,
        value: JsonText::stored("1"),
        change_id: None,
        occurred_at: Micros::new(0),
        sequenced_at: Micros::new(0),
    })
}

fn place(module: &ModuleName, most: usize, chance: fn() -> f64) -> (Arc<Tail>, Waiting) {
    let modules = std::slice::from_ref(module);
    let tail = Arc::new(Tail::new(&config::tail::Tail::default(), modules));
    let stop = CancellationToken::new();
    (Arc::clone(&tail), Waiting::new(tail, stop, most, chance))
}

fn channels() -> (ModuleName, [Audience; 2]) {
    let audiences = [Audience::everyone(), Audience::stored("u1")];
    ("m".parse().unwrap(), audiences)
}

/// Who waits answers each change with the next one, at whatever moment it comes. A wake-up that is
/// lost leaves both standing still until the time is up.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost_whenever_the_change_comes() {
    const CHANGES: u64 = 20_000;
    let (module, audiences) = channels();
    let (tail, waiting) = place(&module, 1, || 0.0);
    let seen = Arc::new(AtomicU64::new(0));
    let producer = std::thread::spawn({
        let (tail, seen) = (Arc::clone(&tail), Arc::clone(&seen));
        let (module, audiences) = (module.clone(), audiences.clone());
        move || {
            for position in 1..=CHANGES {
                while seen.load(Ordering::SeqCst) + 1 < position {
                    std::thread::yield_now();
                }
                for _ in 0..rand::random_range(0..3_000) {
                    std::hint::spin_loop();
                }
                let audience = &audiences[usize::from(rand::random::<bool>())];
                assert!(tail.append(&module, &[change(position, audience)]));
            }
        }
    });
    for position in 1..=CHANGES {
        let mut waiter = waiting.enlist(&[(&module, &audiences)]).unwrap();
        while tail.edge(&module).unwrap().last < Position::new(position) {
            assert_eq!(waiter.woken(LONG).await, Woken::News, "{position}");
        }
        seen.store(position, Ordering::SeqCst);
    }
    producer.join().unwrap();
}

#[tokio::test]
async fn news_of_others_wake_nobody() {
    let (module, audiences) = channels();
    let (tail, waiting) = place(&module, 2, || 1.0);
    let mut waiter = waiting.enlist(&[(&module, &audiences)]).unwrap();
    tail.append(&module, &[change(1, &Audience::stored("u2"))]);
    let short = Duration::from_millis(20);
    assert_eq!(waiter.woken(short).await, Woken::TimeUp);
    tail.append(&module, &[change(2, &audiences[1])]);
    assert_eq!(waiter.woken(LONG).await, Woken::News);
}

#[tokio::test]
async fn places_are_bounded_given_back_and_left_at_a_stop() {
    let (module, audiences) = channels();
    let (_tail, waiting) = place(&module, 1, || 0.0);
    let channel = [(&module, audiences.as_slice())];
    let waiter = waiting.enlist(&channel).unwrap();
    assert_eq!(waiting.enlist(&channel).unwrap_err(), Crowded);
    drop(waiter);
    let mut waiter = waiting.enlist(&channel).unwrap();
    waiting.stop.cancel();
    assert_eq!(waiter.woken(LONG).await, Woken::Stopping);
}

#[tokio::test]
async fn a_wait_ends_a_tenth_early_at_most() {
    let (module, audiences) = channels();
    let (_tail, waiting) = place(&module, 1, || 1.0);
    let mut waiter = waiting.enlist(&[(&module, &audiences)]).unwrap();
    let began = std::time::Instant::now();
    let limit = Duration::from_millis(500);
    assert_eq!(waiter.woken(limit).await, Woken::TimeUp);
    assert!(began.elapsed() >= Duration::from_millis(450));
}
