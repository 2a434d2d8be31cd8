//! Each move of the guard, and 10,000 clients under evidence at random.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Bounds, Cause, Evidence, Guard, Pace, Spot, State, Terms};
use crate::domain::{BasisPoints, ModuleName};

const BOUNDS: Bounds = Bounds {
    away: Duration::from_secs(10),
    lag: Duration::from_secs(30),
    missing: 0,
};
const PACE: Pace = Pace {
    fall_back_over: Duration::from_secs(10),
    heal_after: Duration::from_mins(1),
    return_over: Duration::from_secs(100),
};
pub(super) const TERMS: Terms = Terms {
    bounds: BOUNDS,
    pace: PACE,
    leaderless_after: Duration::from_secs(10),
};
const HEALTHY: Evidence = Evidence::HEALTHY;

fn away(seconds: u64) -> Evidence {
    Evidence {
        away: Duration::from_secs(seconds),
        ..HEALTHY
    }
}

fn late(seconds: u64) -> Evidence {
    Evidence {
        lag: Duration::from_secs(seconds),
        ..HEALTHY
    }
}

fn pushed(guard: &Guard, at: Instant) -> u16 {
    guard.pushed(at).get()
}

#[test]
fn it_trips_on_evidence_and_on_nothing_else() {
    let now = Instant::now();
    let halted = Evidence {
        halted: true,
        ..late(99)
    };
    let missing = Evidence {
        missing: 1,
        ..HEALTHY
    };
    let cases = [
        (HEALTHY, None),
        (away(10), None),
        (late(30), None),
        (away(11), Some(Cause::Disconnected)),
        (late(31), Some(Cause::Lag)),
        (missing, Some(Cause::Loss)),
        (halted, Some(Cause::Halted)),
    ];
    for (evidence, expected) in cases {
        let mut guard = Guard::new(BOUNDS, PACE);
        assert_eq!(
            guard.observe(&evidence, now),
            expected.is_some(),
            "{evidence:?}"
        );
        let tripped = match guard.state() {
            State::Tripped { cause, .. } => Some(cause),
            State::Watching | State::Returning { .. } => None,
        };
        assert_eq!(tripped, expected, "{evidence:?}");
    }
    let mut guard = Guard::new(BOUNDS, PACE);
    assert!(guard.leaderless(now));
}

#[test]
fn clients_fall_back_and_return_at_their_pace() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut guard = Guard::new(BOUNDS, PACE);
    guard.observe(&away(11), at(0));
    assert_eq!(pushed(&guard, at(0)), 10_000);
    assert_eq!(pushed(&guard, at(4)), 6_000);
    // Another cause is not another fall.
    guard.observe(&late(31), at(4));
    assert_eq!(pushed(&guard, at(4)), 6_000);
    assert_eq!(pushed(&guard, at(10)), 0);
    // A lag just below its bound does not heal, and what heals must last.
    guard.observe(&late(29), at(20));
    guard.observe(&late(29), at(90));
    guard.observe(&HEALTHY, at(100));
    guard.observe(&late(16), at(159));
    guard.observe(&HEALTHY, at(160));
    guard.observe(&HEALTHY, at(219));
    assert!(matches!(guard.state(), State::Tripped { .. }));
    guard.observe(&HEALTHY, at(220));
    assert_eq!(guard.state(), State::Returning { since: at(220) });
    assert_eq!(pushed(&guard, at(220)), 0);
    assert_eq!(pushed(&guard, at(260)), 4_000);
    // Tripped again on the way: only those who had returned fall back.
    guard.observe(&away(11), at(260));
    assert_eq!(pushed(&guard, at(260)), 4_000);
    assert_eq!(pushed(&guard, at(263)), 1_000);
    assert_eq!(pushed(&guard, at(264)), 0);
    guard.observe(&HEALTHY, at(265));
    guard.observe(&HEALTHY, at(325));
    guard.observe(&HEALTHY, at(425));
    assert_eq!(guard.state(), State::Watching);
}

#[test]
fn nobody_returns_before_all_have_fallen_back() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let pace = Pace {
        heal_after: Duration::ZERO,
        ..PACE
    };
    let mut guard = Guard::new(BOUNDS, pace);
    guard.observe(&away(11), at(0));
    guard.observe(&HEALTHY, at(1));
    guard.observe(&HEALTHY, at(10));
    assert!(matches!(guard.state(), State::Tripped { .. }));
    guard.observe(&HEALTHY, at(11));
    assert_eq!(guard.state(), State::Returning { since: at(11) });
}

const CLIENTS: usize = 10_000;
const TICK: Duration = Duration::from_millis(200);
const TICKS_PER_SECOND: usize = 5;

/// One client for each spot, so that a share of the spots is a share of the clients.
fn one_for_each_spot(module: &ModuleName) -> Vec<Spot> {
    let mut spots: Vec<Option<Spot>> = vec![None; CLIENTS];
    let shares: Vec<_> = (0..=BasisPoints::ALL.get())
        .map(|points| BasisPoints::new(points).unwrap())
        .collect();
    let mut number = 0;
    while spots.iter().any(Option::is_none) {
        for _ in 0..CLIENTS {
            let spot = Spot::of(module, &format!("terminal-{number}"));
            let place = shares.partition_point(|share| !spot.is_in(*share)) - 1;
            spots[place] = Some(spot);
            number += 1;
        }
    }
    spots.into_iter().flatten().collect()
}

/// A broker that comes and goes, a mirror that is late and catches up, for two hours.
#[test]
fn in_no_second_more_than_the_configured_share_moves() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let module: ModuleName = "commission".parse().unwrap();
    let spots = one_for_each_spot(&module);
    let most = CLIENTS / 10;
    let (mut now, mut guard) = (Instant::now(), Guard::new(BOUNDS, PACE));
    let (mut told, mut before) = (vec![true; CLIENTS], BasisPoints::ALL);
    let mut moved: VecDeque<usize> = VecDeque::new();
    let (mut evidence, mut lasts, mut trips, mut flips) = (HEALTHY, 0, 0, 0);
    for _ in 0..2 * 3_600 * TICKS_PER_SECOND {
        if lasts == 0 {
            evidence = [HEALTHY, HEALTHY, away(11), late(31), late(20)][chance.random_range(0..5)];
            lasts = chance.random_range(1..150 * TICKS_PER_SECOND);
        }
        lasts -= 1;
        let was_tripped = matches!(guard.state(), State::Tripped { .. });
        guard.observe(&evidence, now);
        trips += u32::from(!was_tripped && matches!(guard.state(), State::Tripped { .. }));
        let share = guard.pushed(now);
        // Most of the time nothing moves.
        let all = if share == before { &[] } else { &spots[..] };
        before = share;
        let movers = all.iter().zip(&mut told).filter(|(spot, told)| {
            let push = spot.is_in(share);
            push != **told
        });
        let changed: usize = movers.map(|(_, told)| *told = !*told).count();
        flips += changed;
        moved.push_back(changed);
        if moved.len() > TICKS_PER_SECOND {
            moved.pop_front();
        }
        let in_a_second: usize = moved.iter().sum();
        assert!(
            in_a_second <= most,
            "{in_a_second} of {CLIENTS} in a second"
        );
        now += TICK;
    }
    println!("{trips} trips, {flips} changes of transport");
    assert!(trips > 5 && flips > CLIENTS);
}
