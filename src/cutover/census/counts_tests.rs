//! What is counted exactly, what is estimated, and that nobody counts twice.

use super::{super::sketch::Shared, *};

const NOW: i64 = 1_700_000_000_000_000;
const DAY: Duration = Duration::from_hours(24);

fn module() -> ModuleName {
    "orders".parse().unwrap()
}

fn row(push: u64, poll: u64) -> ClientCount {
    ClientCount {
        module: module(),
        push,
        poll,
        fell_back: 0,
        pushed: push,
        unnamed: false,
        is_exact: true,
    }
}

/// Of clients with these numbers.
fn sketch(crowd: Crowd, clients: std::ops::Range<u32>) -> Sketch {
    let shared = Shared::new();
    for client in clients {
        shared.add(super::super::sketch::key(&format!("t-{client}")));
    }
    Sketch {
        module: module(),
        crowd,
        instance: "a".to_owned(),
        slice: Micros::new(NOW),
        registers: shared.registers().collect(),
    }
}

fn known(since: &[i64]) -> KnownSince {
    KnownSince {
        now: Micros::new(NOW),
        modules: since
            .iter()
            .map(|at| (module(), Micros::new(*at)))
            .collect(),
    }
}

fn of(row: ClientCount, sketches: &[Sketch]) -> Counted {
    Count::new(known(&[NOW - 1]), DAY, vec![row], sketches).of(&module())
}

#[track_caller]
fn assert_about(found: u64, expected: u64, all: u64) {
    // Three standard errors of everybody.
    let error = all / 20;
    assert!(found.abs_diff(expected) <= error, "{found}, not {expected}");
}

#[test]
fn who_has_no_id_spoils_no_count_of_those_who_have_one() {
    let unnamed = ClientCount {
        unnamed: true,
        ..row(5_140, 4)
    };
    let counted = of(unnamed.clone(), &[sketch(Crowd::Unnamed, 0..1)]);
    let expected = (5_140, 4, 1, true);
    let found = |of: Counted| (of.push, of.poll, of.without_id, of.is_exact);
    assert_eq!(found(counted), expected);
    assert_eq!(
        found(of(unnamed, &[])),
        expected,
        "no sketch of it is written yet"
    );
    let counted = of(row(3, 4), &[sketch(Crowd::Unnamed, 0..200)]);
    assert_eq!((counted.push, counted.poll, counted.is_exact), (3, 4, true));
    assert_about(counted.without_id, 200, 200);
}

#[test]
fn who_moves_counts_once_also_above_the_bound() {
    let above = || sketch(Crowd::Above, 0..0);
    // All polled, and half of them moved; of each a half is remembered.
    let held = [sketch(Crowd::Poll, 0..4_000), sketch(Crowd::Push, 0..2_000)];
    let [polled, pushed] = held;
    let sketches = [polled, pushed, above()];
    let moved = of(row(1_000, 1_000), &sketches);
    assert!(!moved.is_exact);
    assert_about(moved.push, 2_000, 4_000);
    assert_about(moved.poll, 2_000, 4_000);
    assert_about(moved.push + moved.poll, 4_000, 4_000);
    // All were on push, and all who are remembered came back.
    let everybody = |crowd| sketch(crowd, 0..4_000);
    let sketches = [everybody(Crowd::Poll), everybody(Crowd::Push), above()];
    let back = ClientCount {
        pushed: 4_000,
        ..row(0, 4_000)
    };
    let back = of(back, &sketches);
    assert_about(back.push, 0, 4_000);
    assert_about(back.poll, 4_000, 4_000);
    // The row without an id is the sign of those above the bound.
    let sign = ClientCount {
        unnamed: true,
        ..row(0, 10)
    };
    let sign = of(sign, &[sketch(Crowd::Poll, 0..400), above()]);
    assert_eq!(sign.without_id, 0);
    assert_about(sign.poll, 400, 400);
    // What others told before everybody had a row again.
    let told = of(row(7, 8), &[sketch(Crowd::Poll, 0..400)]);
    assert_eq!((told.push, told.poll, told.is_exact), (7, 8, true));
}

#[test]
fn clients_are_not_counted_since_before_anybody_looked() {
    let since = |known: KnownSince| {
        Count::new(known, DAY, vec![row(1, 0)], &[])
            .of(&module())
            .since
    };
    let day = i64::try_from(DAY.as_micros()).unwrap();
    assert_eq!(since(known(&[NOW - 60])), Micros::new(NOW - 60));
    assert_eq!(since(known(&[NOW - 2 * day])), Micros::new(NOW - day));
    assert_eq!(since(known(&[])), Micros::new(NOW), "it is not watched");
    let nobody = Count::new(known(&[NOW - 60]), DAY, Vec::new(), &[]);
    assert_eq!(nobody.of(&module()).since, Micros::new(NOW - 60));
    assert!(nobody.of(&module()).is_exact);
}
