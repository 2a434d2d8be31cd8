//! Whatever two operators do on two replicas, at the same time, with replicas that are restarted or die in the middle of an act: the
//! record of a module is what its audit ends with, and the audit has no hole.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use changeover::{
    config::gates::Gates,
    cutover::{
        Acts, Asked, Census, Done, Flags, Gatekeeper, Move, Recut, Refused, Replan, Route, Routes,
        Step,
    },
    domain::{BasisPoints, Micros, ModuleName, Stage},
    store::Store,
};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use crate::support::database::DatabaseUnderTest;

crate::on_each_database!(every_record_is_what_the_audit_ends_with);

const ROUNDS: usize = 120;

/// A replica: its own connections and its own memory.
struct Replica {
    acts: Acts,
    store: Arc<dyn Store>,
}

impl Replica {
    async fn start(database: &DatabaseUnderTest, modules: &[ModuleName]) -> Self {
        let store = database.open().await;
        let flags = Arc::new(Flags::new(modules));
        let targets = |module: &ModuleName| (module.clone(), vec!["a".to_owned(), "b".to_owned()]);
        let routes = Arc::new(Routes::new(modules.iter().map(targets).collect()));
        // Half of the steps forward are forced, the others refused.
        let gates = Gates::default();
        Self {
            acts: Acts::new(
                Arc::clone(&store),
                flags,
                Arc::clone(&routes),
                Arc::new(Census::nobodys()),
                Arc::new(Gatekeeper::new(Arc::clone(&store), routes, gates, None)),
            ),
            store,
        }
    }
}

async fn every_record_is_what_the_audit_ends_with(database: DatabaseUnderTest) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    database.store().await;
    let modules: Vec<ModuleName> = ["m1", "m2"].map(|name| name.parse().unwrap()).to_vec();
    let mut replicas = [
        Replica::start(&database, &modules).await,
        Replica::start(&database, &modules).await,
    ];
    let (mut done, mut undone) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..ROUNDS {
        let module = &modules[chance.random_range(0..modules.len())];
        let version = version(&replicas[0], module).await;
        let [one, other] = ["one", "other"].map(|who| Asked {
            module: module.clone(),
            change: change(module, &mut chance),
            actor: who.to_owned(),
            reason: format!("{who} {round}"),
            if_version: chance.random_bool(0.5).then_some(version),
            dry_run: chance.random_bool(0.1),
            force: chance.random_bool(0.5),
        });
        let n = chance.random_range(0..2);
        match chance.random_range(0..10) {
            0..5 => {
                let insisted = one.if_version.is_some() && other.if_version.is_some();
                let real = !one.dry_run && !other.dry_run;
                let outcomes = tokio::join!(
                    replicas[0].acts.act(one.clone()),
                    replicas[1].acts.act(other.clone())
                );
                let both = outcomes.0.is_ok() && outcomes.1.is_ok();
                assert!(!(both && insisted && real), "two acts on one version");
                note(&one, &outcomes.0, &mut done, &mut undone);
                note(&other, &outcomes.1, &mut done, &mut undone);
            }
            5..7 => {
                let outcome = replicas[n].acts.act(one.clone()).await;
                note(&one, &outcome, &mut done, &mut undone);
            }
            7..9 => {
                // Dies somewhere on the way: nobody can say whether it was done, unless it was.
                let moment = Duration::from_micros(chance.random_range(0..6_000));
                let act = replicas[n].acts.act(one.clone());
                if let Ok(outcome) = tokio::time::timeout(moment, act).await {
                    note(&one, &outcome, &mut done, &mut undone);
                }
                replicas[n] = Replica::start(&database, &modules).await;
            }
            _ => replicas[n] = Replica::start(&database, &modules).await,
        }
        assert_eq!(acts_without_audit(&database).await, None, "round {round}");
    }
    println!("{} done, {} refused or tried", done.len(), undone.len());
    assert!(done.len() > ROUNDS / 8 && undone.len() > ROUNDS / 8);
    let mut told = BTreeSet::new();
    for module in &modules {
        told.extend(check_chain(&replicas[0], module).await);
    }
    assert!(done.is_subset(&told), "{:?}", done.difference(&told));
    assert!(
        undone.is_disjoint(&told),
        "{:?}",
        undone.intersection(&told)
    );
}

fn change(module: &ModuleName, chance: &mut impl Rng) -> Move {
    let share = BasisPoints::new(chance.random_range(0..=10_000)).unwrap();
    let confirm = Some(module.to_string());
    Move::Step(match chance.random_range(0..16) {
        0..4 => Step::Promote { confirm: None },
        4..6 => Step::Promote { confirm },
        6..8 => Step::Ramp(Recut::share(share)),
        8..9 => Step::Rollback(None),
        9..11 => Step::Rollback(Some(Stage::ALL[chance.random_range(0..6)])),
        11 => Step::Pause,
        12 => Step::Resume,
        13..15 => Step::Sunset(Replan {
            clear: chance.random_bool(0.3),
            at: Some(Micros::new(chance.random_range(0..2_000_000_000_000_000))),
            ..Replan::default()
        }),
        _ => {
            let target = ["a", "b", "c"][chance.random_range(0..3)].to_owned();
            return Move::Route(Route { target, share });
        }
    })
}

fn note(
    asked: &Asked,
    outcome: &Result<Done, Refused>,
    done: &mut BTreeSet<String>,
    undone: &mut BTreeSet<String>,
) {
    match outcome {
        Ok(_) if !asked.dry_run => done.insert(asked.reason.clone()),
        // The database may be busy; then nobody can say.
        Err(Refused::Store(error)) => {
            assert!(error.is_transient(), "{error:?}");
            false
        }
        _ => undone.insert(asked.reason.clone()),
    };
}

/// A module whose number of acts is not the number of its entries, at one moment.
async fn acts_without_audit(database: &DatabaseUnderTest) -> Option<String> {
    let sql = "SELECT CAST(s.module AS CHAR(40)) FROM module_stage s \
        WHERE s.version <> (SELECT count(*) FROM audit a WHERE a.module = s.module)";
    database.text(sql).await
}

async fn version(replica: &Replica, module: &ModuleName) -> i64 {
    let records = replica.store.stages().await.unwrap();
    let mut records = records.iter().filter(|record| record.module == *module);
    records.next().map_or(0, |record| record.version)
}

/// Each act begins where the one before it ended, and the record is where the last one ended. Returns the reasons.
async fn check_chain(replica: &Replica, module: &ModuleName) -> Vec<String> {
    let mut entries = replica
        .store
        .audit(Some(module), None, 1_000)
        .await
        .unwrap();
    entries.reverse();
    for (n, entry) in entries.iter().enumerate() {
        assert_eq!(entry.before["version"], n, "{entry:?}");
        assert_eq!(entry.after["version"], n + 1, "{entry:?}");
        assert_eq!(entry.after["reason"], entry.reason);
        assert_eq!(entry.after["changed_by"], entry.actor);
        let [from, to] = [&entry.before, &entry.after]
            .map(|record| record["stage"].as_str().unwrap().parse::<Stage>().unwrap());
        if to > from && to >= Stage::Ramp {
            // No target has ever reported, and no client was ever seen.
            assert_eq!(entry.after["forced"]["by"], entry.actor, "{entry:?}");
            assert_eq!(entry.after["forced"]["step"], to.as_str());
        }
    }
    for pair in entries.windows(2) {
        assert_eq!(pair[0].after, pair[1].before);
    }
    let records = replica.store.stages().await.unwrap();
    let record = records.iter().find(|record| record.module == *module);
    let record = record.map(|record| serde_json::to_value(record).unwrap());
    assert_eq!(record.as_ref(), entries.last().map(|entry| &entry.after));
    entries.into_iter().map(|entry| entry.reason).collect()
}
