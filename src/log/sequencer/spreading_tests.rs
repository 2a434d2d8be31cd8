use proptest::prelude::*;

use super::*;
use crate::domain::{Epoch, Micros, Position};

fn module(number: usize) -> ModuleName {
    format!("m{number:03}").parse().unwrap()
}

fn lease(number: usize) -> Lease {
    Lease {
        module: module(number),
        token: 1,
    }
}

fn instance(number: usize, holds: usize, wants: &[usize]) -> Instance {
    Instance {
        name: format!("gw-{number}"),
        run: 1,
        since: Some(Micros::new(1)),
        heartbeat: Micros::new(1),
        alive: true,
        embedded: None,
        holds,
        wants: wants.iter().copied().map(module).collect(),
    }
}

/// Which replica holds which module, as its heads say.
fn heads(holders: &[usize]) -> Vec<Head> {
    let head = |(number, holder): (usize, &usize)| Head {
        module: module(number),
        epoch: Epoch::FIRST,
        head: Position::ZERO,
        retained_from: Position::new(1),
        compacted_through: Position::ZERO,
        stateless_from: None,
        sequenced_through: Micros::new(1),
        lease_holder: Some(format!("gw-{holder}")),
        lease_vacant: false,
    };
    holders.iter().enumerate().map(head).collect()
}

fn names(modules: usize) -> Vec<ModuleName> {
    (0..modules).map(module).collect()
}

fn counts(holders: &[usize], replicas: usize) -> Vec<usize> {
    let count = |replica| holders.iter().filter(|holder| **holder == replica).count();
    (0..replicas).map(count).collect()
}

#[test]
fn a_fair_share_is_rounded_up() {
    assert_eq!(fair_share(12, 0), 12);
    assert_eq!(fair_share(12, 2), 4);
    assert_eq!(fair_share(13, 2), 5);
    assert_eq!(fair_share(2, 4), 1);
}

#[test]
fn who_joins_asks_whoever_holds_most() {
    let served = names(7);
    let heads = heads(&[0, 0, 0, 0, 1, 1, 1]);
    let others = [instance(0, 4, &[]), instance(1, 3, &[])];
    assert!(is_uneven(0, &others));
    // One of 4, then both hold 3 and the names decide.
    assert_eq!(
        wants(0, &served, &others, &heads, 9),
        [module(0), module(1)]
    );
    assert_eq!(wants(0, &served, &others, &heads, 1), [module(0)]);
    assert!(wants(2, &served, &others, &heads, 9).len() == 1);
    assert!(wants(3, &served, &others, &heads, 9).is_empty());
    // What this replica does not serve it does not ask for.
    assert_eq!(
        wants(0, &served[2..], &others, &heads, 9),
        [module(2), module(3)]
    );
}

#[test]
fn nothing_is_given_that_would_have_to_come_back() {
    let held: Vec<_> = (0..3).map(lease).collect();
    let to = |others: &[Instance]| -> Vec<(ModuleName, String)> {
        let granted = grants(held.len(), &held, others);
        let pair = |(lease, to): (Lease, String)| (lease.module, to);
        granted.into_iter().map(pair).collect()
    };
    assert_eq!(to(&[instance(1, 2, &[0])]), []);
    assert_eq!(to(&[instance(1, 1, &[0, 1])]), [(module(0), "gw-1".into())]);
    // Two ask for one module: the poorer gets it.
    let both = [instance(1, 1, &[2]), instance(2, 0, &[2])];
    assert_eq!(to(&both), [(module(2), "gw-2".into())]);
    // Two ask at once: what the first one gets counts.
    let both = [instance(1, 0, &[0]), instance(2, 0, &[1, 2])];
    assert_eq!(
        to(&both),
        [(module(0), "gw-1".into()), (module(1), "gw-2".into())]
    );
    assert_eq!(to(&[instance(1, 0, &[7])]), [], "not ours");
}

#[test]
fn who_ends_leaves_to_the_poorest() {
    let held: Vec<_> = (0..4).map(lease).collect();
    let left = legacy(&held, &[instance(1, 5, &[]), instance(2, 2, &[])]);
    // 2 + 3, then both hold 5.
    assert_eq!((left["gw-1"].len(), left["gw-2"].len()), (1, 3));
    let left = legacy(&held, &[instance(1, 2, &[]), instance(2, 2, &[])]);
    assert_eq!((left["gw-1"].len(), left["gw-2"].len()), (2, 2));
    assert!(legacy(&held, &[]).is_empty());
}

proptest! {
    /// Replicas that beat in any order, each knowing the others as they were at its own last beat, come to even
    /// shares and then rest.
    #[test]
    fn shares_become_even_and_stay(
        replicas in 1_usize..6,
        holders in prop::collection::vec(0_usize..5, 0..40),
        order in prop::collection::vec(0_usize..5, 400),
        most in 1_usize..5,
    ) {
        let mut holders: Vec<_> = holders.into_iter().map(|holder| holder % replicas).collect();
        let served = names(holders.len());
        let mut rows: Vec<_> = (0..replicas)
            .map(|number| instance(number, counts(&holders, replicas)[number], &[]))
            .collect();
        let mut moved_last = 0;
        for (step, beating) in order.iter().map(|beating| beating % replicas).enumerate() {
            let holds = counts(&holders, replicas)[beating];
            let others: Vec<_> = rows.iter().filter(|row| row.name != rows[beating].name).cloned().collect();
            let mine = (0..holders.len()).filter(|number| holders[*number] == beating);
            let mine: Vec<_> = mine.map(lease).collect();
            for (given, to) in grants(holds, &mine, &others) {
                let to = to.trim_start_matches("gw-").parse().unwrap();
                let number = served.iter().position(|name| *name == given.module).unwrap();
                holders[number] = to;
                moved_last = step;
            }
            let holds = counts(&holders, replicas)[beating];
            rows[beating].holds = holds;
            rows[beating].wants = wants(holds, &served, &others, &heads(&holders), most);
        }
        let counts = counts(&holders, replicas);
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        prop_assert!(most - least <= 1, "{counts:?}");
        prop_assert!(moved_last < 380, "still moving: {counts:?}");
    }
}
