//! Since when the census is kept: through restarts and whatever is forgotten, and anew after each gap.
//!
//! The clock is the database's. Time passes here by moving all that is written back by as much.

use std::time::Duration;

use changeover::{
    domain::ModuleName,
    store::{Keeping, Store},
};

use super::changes::module;
use crate::support::database::DatabaseUnderTest;

const GAP: Duration = Duration::from_mins(15);
const KEEP: Duration = Duration::from_hours(30 * 24);
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

crate::on_each_database!(
    what_is_kept_without_a_gap_is_known_from_its_beginning,
    a_time_in_which_nobody_wrote_is_a_gap,
    one_that_could_not_write_is_a_gap_and_one_that_has_ended_is_none,
    one_that_was_given_up_and_goes_on_is_a_gap_again,
    one_without_a_census_is_a_gap,
    each_module_has_its_own_beginning,
    what_was_forgotten_is_not_known,
    many_keep_it_at_once,
);

/// Lets time pass.
pub async fn pass(database: &DatabaseUnderTest, span: Duration) {
    let micros = span.as_micros();
    for columns in [
        "census_kept SET since = since - {}, through = through - {}, remembered = remembered - {}",
        "census_keeper SET through = through - {}",
    ] {
        let moved = columns.replace("{}", &micros.to_string());
        database.execute(&format!("UPDATE {moved}")).await;
    }
}

async fn note(store: &dyn Store, instance: &str, modules: &[ModuleName]) {
    let keeping = Keeping {
        instance,
        modules,
        gap: GAP,
        keep: KEEP,
        again: false,
    };
    store.note_kept(&keeping).await.unwrap();
}

/// For how many minutes a module has been known.
async fn known(store: &dyn Store, name: &str) -> Option<u64> {
    let known = store.known_since(GAP).await.unwrap();
    let since = known.modules.get(&module(name))?;
    Some(known.now.since(*since).as_secs() / 60)
}

async fn what_is_kept_without_a_gap_is_known_from_its_beginning(database: DatabaseUnderTest) {
    let store = database.store().await;
    let orders = [module("orders")];
    assert_eq!(known(&*store, "orders").await, None);
    note(&*store, "a", &orders).await;
    assert_eq!(known(&*store, "orders").await, Some(0));
    for _ in 0..5 {
        pass(&database, MINUTE * 14).await;
        note(&*store, "a", &orders).await;
    }
    assert_eq!(known(&*store, "orders").await, Some(70));
    // It ends, and begins again soon; so it does after a crash.
    store.end_keeping("a").await.unwrap();
    for _ in 0..2 {
        pass(&database, MINUTE * 10).await;
        note(&*store, "a", &orders).await;
    }
    assert_eq!(known(&*store, "orders").await, Some(90));
    note(&*store, "a", &orders).await;
    assert_eq!(known(&*store, "orders").await, Some(90));
}

async fn a_time_in_which_nobody_wrote_is_a_gap(database: DatabaseUnderTest) {
    let store = database.store().await;
    let orders = [module("orders")];
    note(&*store, "a", &orders).await;
    pass(&database, DAY).await;
    assert_eq!(known(&*store, "orders").await, None, "the gap goes on");
    note(&*store, "a", &orders).await;
    assert_eq!(known(&*store, "orders").await, Some(0));
    // However it ended.
    store.end_keeping("a").await.unwrap();
    pass(&database, MINUTE * 16).await;
    note(&*store, "b", &orders).await;
    pass(&database, MINUTE * 5).await;
    note(&*store, "b", &orders).await;
    assert_eq!(known(&*store, "orders").await, Some(5));
}

async fn one_that_could_not_write_is_a_gap_and_one_that_has_ended_is_none(
    database: DatabaseUnderTest,
) {
    let store = database.store().await;
    let orders = [module("orders")];
    let both = ["a", "b"];
    for instance in both {
        note(&*store, instance, &orders).await;
    }
    pass(&database, MINUTE * 10).await;
    note(&*store, "a", &orders).await;
    store.end_keeping("b").await.unwrap();
    pass(&database, MINUTE * 10).await;
    note(&*store, "a", &orders).await;
    assert_eq!(known(&*store, "orders").await, Some(20), "b has ended");

    note(&*store, "b", &orders).await;
    // b answers polls meanwhile, and does not reach the database.
    pass(&database, MINUTE * 10).await;
    note(&*store, "a", &orders).await;
    assert_eq!(known(&*store, "orders").await, Some(30));
    pass(&database, MINUTE * 10).await;
    assert_eq!(
        known(&*store, "orders").await,
        None,
        "nobody has said so yet"
    );
    note(&*store, "a", &orders).await;
    assert_eq!(
        known(&*store, "orders").await,
        Some(0),
        "b may have seen somebody"
    );
    pass(&database, MINUTE * 10).await;
    note(&*store, "b", &orders).await;
    note(&*store, "a", &orders).await;
    assert_eq!(known(&*store, "orders").await, Some(10), "it is back");
}

async fn one_without_a_census_is_a_gap(database: DatabaseUnderTest) {
    let store = database.store().await;
    let all = [module("orders"), module("prices")];
    for instance in ["a", "b"] {
        note(&*store, instance, &all).await;
    }
    pass(&database, MINUTE * 10).await;
    // b begins again without one, and answers polls of one module.
    store.note_unkept("b", &all[..1]).await.unwrap();
    assert_eq!(known(&*store, "orders").await, None);
    note(&*store, "a", &all).await;
    pass(&database, MINUTE * 10).await;
    note(&*store, "a", &all).await;
    assert_eq!(known(&*store, "orders").await, Some(10));
    assert_eq!(known(&*store, "prices").await, Some(20));
    store.note_unkept("c", &[]).await.unwrap();
    assert_eq!(known(&*store, "prices").await, Some(20));
}

async fn each_module_has_its_own_beginning(database: DatabaseUnderTest) {
    let store = database.store().await;
    let (orders, prices) = (module("orders"), module("prices"));
    note(&*store, "a", std::slice::from_ref(&orders)).await;
    pass(&database, MINUTE * 10).await;
    note(&*store, "a", &[orders.clone(), prices]).await;
    assert_eq!(known(&*store, "orders").await, Some(10));
    assert_eq!(known(&*store, "prices").await, Some(0), "it is new");
    // Nobody serves it for a while.
    for _ in 0..2 {
        pass(&database, MINUTE * 10).await;
        note(&*store, "a", std::slice::from_ref(&orders)).await;
    }
    assert_eq!(known(&*store, "orders").await, Some(30));
    assert_eq!(known(&*store, "prices").await, None);
}

async fn what_was_forgotten_is_not_known(database: DatabaseUnderTest) {
    let store = database.store().await;
    let orders = [module("orders")];
    let keep = async |keep| {
        let keeping = Keeping {
            instance: "a",
            modules: &orders,
            gap: DAY * 60,
            keep,
            again: false,
        };
        store.note_kept(&keeping).await.unwrap();
    };
    let known = async || {
        let known = store.known_since(DAY * 60).await.unwrap();
        known.now.since(known.modules[&orders[0]]).as_secs() / 86_400
    };
    keep(DAY * 7).await;
    pass(&database, DAY * 20).await;
    keep(DAY * 7).await;
    assert_eq!(known().await, 7, "those of before are forgotten");
    keep(DAY * 30).await;
    assert_eq!(known().await, 7, "nobody remembers them for that");
    pass(&database, DAY * 10).await;
    keep(DAY * 30).await;
    assert_eq!(known().await, 17);
    pass(&database, DAY * 30).await;
    keep(DAY * 30).await;
    assert_eq!(known().await, 30);
}

async fn many_keep_it_at_once(database: DatabaseUnderTest) {
    let store = database.store().await;
    let names: Vec<_> = (0..20).map(|n| module(&format!("m{n:02}"))).collect();
    let tasks = (0..4).map(|n| {
        let (store, mut names) = (std::sync::Arc::clone(&store), names.clone());
        if n % 2 == 0 {
            names.reverse();
        }
        tokio::spawn(async move {
            for round in 0..5 {
                let keeping = Keeping {
                    instance: &format!("{n}-{round}"),
                    modules: &names,
                    gap: GAP,
                    keep: KEEP,
                    again: false,
                };
                // As the census does: what passes is tried again.
                while let Err(error) = store.note_kept(&keeping).await {
                    assert!(error.is_transient(), "{error:?}");
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let known = store.known_since(GAP).await.unwrap();
    assert_eq!(known.modules.len(), names.len());
}

async fn one_that_was_given_up_and_goes_on_is_a_gap_again(database: DatabaseUnderTest) {
    let store = database.store().await;
    let orders = [module("orders")];
    for instance in ["a", "b"] {
        note(&*store, instance, &orders).await;
    }
    pass(&database, GAP + MINUTE).await;
    note(&*store, "b", &orders).await;
    pass(&database, MINUTE * 10).await;
    note(&*store, "b", &orders).await;
    assert_eq!(known(&*store, "orders").await, Some(10));
    // Another process of its name has seen nobody before.
    note(&*store, "a", &orders).await;
    store.end_keeping("a").await.unwrap();
    assert_eq!(known(&*store, "orders").await, Some(10));
    let goes_on = Keeping {
        instance: "a",
        modules: &orders,
        gap: GAP,
        keep: KEEP,
        again: true,
    };
    store.note_kept(&goes_on).await.unwrap();
    assert_eq!(known(&*store, "orders").await, Some(0));
    pass(&database, MINUTE).await;
    store.note_kept(&goes_on).await.unwrap();
    assert_eq!(known(&*store, "orders").await, Some(1));
}
