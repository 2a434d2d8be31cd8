//! What the mirror's holder writes down for every replica.

use std::time::Duration;

use changeover::{
    domain::{Micros, ModuleName},
    store::{Findings, Lease, MirrorFact, VerifierPeriod},
};

use super::changes::{held, module};
use crate::support::database::{DatabaseUnderTest, Kind};

crate::on_each_database!(
    facts_are_written_under_the_lease,
    a_period_is_written_over_by_its_holder_and_added_up_over_holders,
    what_is_too_old_goes_in_bounded_steps,
    acts_are_counted_since_a_time,
);

const SECOND: Duration = Duration::from_secs(1);

fn fact(target: &str, module: &ModuleName, behind: u64) -> MirrorFact {
    MirrorFact {
        target: target.to_owned(),
        module: module.clone(),
        connected: behind == 0,
        trouble: (behind > 0).then(|| "refused: \u{e9}".to_owned()),
        behind,
        lag: (behind < 9).then_some(SECOND * 2),
        halted: None,
    }
}

fn found(ok: u64) -> Findings {
    Findings {
        ok,
        missing: 1,
        duplicate: 2,
        reordered: 3,
        previous: 4,
        late: 5,
        foreign: 6,
        unobserved: 7,
    }
}

fn period(target: &str, module: &ModuleName, began: i64, ok: u64) -> VerifierPeriod {
    VerifierPeriod {
        target: target.to_owned(),
        module: module.clone(),
        began_at: Micros::new(began),
        ended_at: Micros::new(began + 10),
        listened: SECOND * 3,
        found: found(ok),
    }
}

async fn facts_are_written_under_the_lease(database: DatabaseUnderTest) {
    let store = database.store().await;
    let (one, two) = (module("one"), module("two"));
    let leases = [held(&store, &one).await, held(&store, &two).await];
    assert_eq!(store.facts(&one).await.unwrap().targets, []);
    let lost = Lease {
        token: leases[1].token - 1,
        ..leases[1].clone()
    };
    let facts = [
        (leases[0].clone(), fact("b", &one, 3)),
        (leases[0].clone(), fact("a", &one, 0)),
        (lost, fact("a", &two, 0)),
    ];
    let written = store.write_facts(&facts, &[]).await.unwrap();
    let known = store.facts(&one).await.unwrap();
    let told: Vec<_> = known.targets.iter().map(|seen| seen.fact.clone()).collect();
    assert_eq!(told, [fact("a", &one, 0), fact("b", &one, 3)]);
    for seen in &known.targets {
        assert!(known.now.since(seen.at) < SECOND * 30, "{known:?}");
        assert!(written.since(seen.at) < SECOND * 30, "{known:?}");
    }
    let none = store.facts(&two).await.unwrap().targets;
    assert_eq!(none, [], "its lease was lost");

    let ugly = MirrorFact {
        halted: Some("a\0b\nc".to_owned()),
        ..fact("a", &one, 9)
    };
    let next = [(leases[0].clone(), ugly)];
    store.write_facts(&next, &[]).await.unwrap();
    let known = store.facts(&one).await.unwrap().targets;
    let plain = MirrorFact {
        halted: Some("a b c".to_owned()),
        ..fact("a", &one, 9)
    };
    assert_eq!(known[0].fact, plain);
    assert_eq!(known.len(), 2);
    assert!(known[0].at >= known[1].at);
    store.write_facts(&[], &[]).await.unwrap();
}

async fn a_period_is_written_over_by_its_holder_and_added_up_over_holders(
    database: DatabaseUnderTest,
) {
    let store = database.store().await;
    let one = module("one");
    let first = held(&store, &one).await;
    let write = async |lease: &Lease, periods: &[VerifierPeriod]| {
        let periods: Vec<_> = periods.iter().map(|p| (lease.clone(), p.clone())).collect();
        store.write_facts(&[], &periods).await.unwrap();
    };
    let told = async |after| {
        let periods = store.verifier_periods(&one, Micros::new(after)).await;
        periods.unwrap()
    };
    let (old, new) = (period("a", &one, 100, 5), period("a", &one, 200, 7));
    write(&first, &[old.clone(), new.clone()]).await;
    write(&first, &[new.clone(), period("b", &one, 200, 9)]).await;
    let all = [old, new.clone(), period("b", &one, 200, 9)];
    assert_eq!(told(0).await, all);
    assert_eq!(told(110).await, all[1..], "what ended at 110 is left out");

    store.release(std::slice::from_ref(&first)).await.unwrap();
    let second = held(&store, &one).await;
    assert!(second.token > first.token);
    write(&first, &[period("a", &one, 300, 1)]).await;
    write(&second, &[period("a", &one, 200, 1)]).await;
    let both = VerifierPeriod {
        listened: SECOND * 6,
        found: Findings {
            ok: 8,
            missing: 2,
            duplicate: 4,
            reordered: 6,
            previous: 8,
            late: 10,
            foreign: 12,
            unobserved: 14,
        },
        ..new
    };
    assert_eq!(told(110).await[0], both);
    assert_eq!(told(0).await.len(), 3, "the first holder's lease is lost");
}

async fn what_is_too_old_goes_in_bounded_steps(database: DatabaseUnderTest) {
    let store = database.store().await;
    let one = module("one");
    let lease = held(&store, &one).await;
    let rows = (1..=5).map(|n| (lease.clone(), period("a", &one, n * 100, 1)));
    let rows: Vec<_> = rows.collect();
    let facts = [(lease, fact("a", &one, 0))];
    store.write_facts(&facts, &rows).await.unwrap();
    let forget = async |before, most| store.forget_facts(Micros::new(before), most).await.unwrap();
    let left = async || {
        let left = store.verifier_periods(&one, Micros::new(0)).await.unwrap();
        left.iter().map(|p| p.began_at.get()).collect::<Vec<_>>()
    };
    assert_eq!(forget(400, 2).await, 2);
    assert_eq!(left().await, [300, 400, 500], "the oldest first");
    assert_eq!(forget(400, 2).await, 1);
    assert_eq!(forget(400, 2).await, 0);
    assert_eq!(left().await, [400, 500]);
    assert_eq!(store.facts(&one).await.unwrap().targets.len(), 1);
    assert_eq!(forget(i64::MAX, 100).await, 3);
    assert_eq!(store.facts(&one).await.unwrap().targets, []);
}

async fn acts_are_counted_since_a_time(database: DatabaseUnderTest) {
    let store = database.store().await;
    for (name, action, at) in [
        ("m", "guard-trip", 100),
        ("m", "guard-trip", 200),
        ("m", "guard-heal", 200),
        ("n", "guard-trip", 200),
    ] {
        trip(&database, name, action, at).await;
    }
    let count = async |since| {
        let of = module("m");
        let count = store.count_acts(&of, "guard-trip", Micros::new(since));
        count.await.unwrap()
    };
    assert_eq!(count(0).await, 2);
    assert_eq!(count(200).await, 1);
    assert_eq!(count(201).await, 0);
}

/// Writes an audit entry, as the guard does.
pub async fn trip(database: &DatabaseUnderTest, module: &str, action: &str, at: i64) {
    let quote = match database.kind {
        Kind::MariaDb => '`',
        Kind::Sqlite | Kind::Postgres => '"',
    };
    let insert = format!(
        "INSERT INTO audit (module, actor, action, {quote}before{quote}, {quote}after{quote}, reason, at) \
         VALUES ('{module}', 'guard', '{action}', '{{}}', '{{}}', 'lag', {at})"
    );
    database.execute(&insert).await;
}
