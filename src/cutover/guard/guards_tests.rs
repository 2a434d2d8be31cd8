//! What clients are told under guards, by clocks of the tests' own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Cause, Guards, Pace, Post, State, Terms, tests};
use crate::{
    cutover::{Adviser, Evaluation, Flags, Routes},
    domain::{
        BasisPoints, Client, Cohort, GuardPhase, Micros, ModuleName, Moving, Routing, Stage,
        Transport,
    },
    store::{Error, GuardRecord, GuardsSeen, StageRecord, Unreadable},
};

const TERMS: Terms = Terms {
    pace: Pace {
        fall_back_over: Duration::from_secs(20),
        ..tests::TERMS.pace
    },
    ..tests::TERMS
};

const CLIENTS: usize = 5_000;

/// A module whose clients are half on `old` and half on `new`, at a stage, and a clock that is set by hand.
struct Scene {
    module: ModuleName,
    flags: Arc<Flags>,
    guards: Arc<Guards>,
    adviser: Adviser,
    began: Instant,
    passed: Arc<Mutex<Duration>>,
}

impl Scene {
    fn at(stage: Stage) -> Self {
        let module: ModuleName = "orders".parse().unwrap();
        let flags = Arc::new(Flags::new(std::slice::from_ref(&module)));
        let half = BasisPoints::new(5_000).unwrap();
        let record = StageRecord {
            stage,
            version: 1,
            cohort: Cohort::share(BasisPoints::ALL),
            routing: Routing {
                target: Some("old".to_owned()),
                moving: Some(Moving {
                    target: "new".to_owned(),
                    basis_points: half,
                }),
            },
            ..(*flags.record(&module).unwrap()).clone()
        };
        flags.adopt(&[record]);
        let targets = vec!["old".to_owned(), "new".to_owned()];
        let routes = Routes::new(BTreeMap::from([(module.clone(), targets.clone())]));
        let (began, passed) = (Instant::now(), Arc::new(Mutex::new(Duration::ZERO)));
        let clock = Arc::clone(&passed);
        let guards = Guards::new(Arc::clone(&flags), TERMS, [(module.clone(), targets)])
            .counting(move || began + *clock.lock().unwrap());
        let guards = Arc::new(guards);
        let adviser = Adviser::new(Arc::clone(&flags), Arc::new(routes), |_| true)
            .guarded_by(Arc::clone(&guards));
        Self {
            module,
            flags,
            guards,
            adviser,
            began,
            passed,
        }
    }

    fn pass(&self, seconds: f64) {
        *self.passed.lock().unwrap() = Duration::from_secs_f64(seconds);
    }

    fn now(&self) -> Instant {
        self.began + *self.passed.lock().unwrap()
    }

    /// A row as a replica reads it.
    fn row(&self, target: &str, state: GuardPhase, version: i64, age: Duration) -> GuardRecord {
        GuardRecord {
            module: self.module.clone(),
            target: target.to_owned(),
            state,
            cause: (state == GuardPhase::Tripped).then_some(Cause::Disconnected),
            share: BasisPoints::ALL,
            since: Micros::new(0),
            age,
            healthy_since: None,
            version,
            turns: version,
        }
    }

    /// It is the only row.
    fn adopt(&self, row: GuardRecord) {
        self.see(vec![row]);
    }

    fn see(&self, records: Vec<GuardRecord>) {
        let seen = GuardsSeen {
            records,
            ..GuardsSeen::default()
        };
        self.guards.adopt(&seen, self.now());
    }

    fn read(&self, target: &str, state: GuardPhase, version: i64) {
        let row = self.row(target, state, version, Duration::ZERO);
        self.adopt(row);
    }

    fn told(&self, id: &str) -> Evaluation {
        let client = Client::named(id);
        let advice = self.adviser.advise(&self.module, &client).evaluation;
        let polled = self.adviser.evaluate(&self.module, &client);
        assert_eq!(
            (polled.transport, polled.reason),
            (advice.transport, advice.reason)
        );
        advice
    }

    fn polled_at(&self, id: &str) -> Stage {
        let client = Client::named(id);
        self.adviser.evaluate(&self.module, &client).effective
    }

    /// Ids whose target is this one.
    fn ids(&self, target: &'static str) -> impl Iterator<Item = String> {
        let ids = (0..).map(|n| format!("terminal-{n}"));
        ids.filter(move |id| self.adviser.target(&self.module, id) == Some(target))
    }
}

#[test]
fn only_clients_of_the_tripped_target_are_told_to_poll() {
    let scene = Scene::at(Stage::Retired);
    let (on_old, on_new) = (
        scene.ids("old").next().unwrap(),
        scene.ids("new").next().unwrap(),
    );
    let push = scene.told(&on_old);
    assert_eq!(
        (push.transport, push.effective, push.reason),
        (Transport::Push, Stage::Retired, "stage")
    );
    scene.read("new", GuardPhase::Tripped, 1);
    // At once the stage, at their pace the clients.
    let soon = scene.told(&on_new);
    assert_eq!(
        (soon.transport, soon.effective, soon.reason),
        (Transport::Push, Stage::Mirror, "guard")
    );
    scene.pass(20.0);
    let back = scene.told(&on_new);
    assert_eq!(
        (back.transport, back.effective, back.reason),
        (Transport::Poll, Stage::Mirror, "guard")
    );
    assert_eq!(back.requested, Stage::Retired);
    assert_eq!(scene.told(&on_old), push, "whose mirror works");
    assert_eq!(
        scene.told("").reason,
        "stage",
        "nor is it known where this is"
    );
    // Who polls may be known by another id: everybody's polls are answered.
    for id in ["", &on_old, &on_new] {
        assert_eq!(scene.polled_at(id), Stage::Mirror, "{id}");
    }
    let in_general = |target| scene.adviser.advise_all(&scene.module, target);
    assert_eq!(
        (in_general("new").effective, in_general("new").reason),
        (Stage::Mirror, "guard")
    );
    assert_eq!(in_general("old").effective, Stage::Retired);
    let record = scene.flags.record(&scene.module).unwrap();
    assert_eq!(scene.adviser.evaluate_record(&record).reason, "guard");

    scene.read("new", GuardPhase::Returning, 2);
    assert_eq!(scene.told(&on_new).reason, "guard");
    assert_eq!(in_general("new").effective, Stage::Retired, "who is there");
    assert_eq!(scene.polled_at(&on_old), Stage::Mirror, "some still poll");
    scene.pass(120.0);
    assert_eq!(scene.told(&on_new), push);
    scene.read("new", GuardPhase::Watching, 3);
    assert_eq!(scene.polled_at(&on_old), Stage::Retired);
}

#[test]
fn a_target_without_clients_holds_nobody() {
    let scene = Scene::at(Stage::Retired);
    let mut record = (*scene.flags.record(&scene.module).unwrap()).clone();
    (record.routing, record.version) = (Routing::default(), 2);
    scene.flags.adopt(&[record]);
    scene.read("new", GuardPhase::Tripped, 1);
    scene.pass(60.0);
    assert_eq!(scene.polled_at("t"), Stage::Retired);
    let record = scene.flags.record(&scene.module).unwrap();
    assert_eq!(scene.adviser.evaluate_record(&record).reason, "stage");
}

#[test]
fn a_clock_that_is_set_moves_nobody() {
    let scene = Scene::at(Stage::Sunset);
    let post = || scene.guards.post(&scene.module, "old").unwrap();
    let pushed = || scene.guards.pushed(&post()).get();
    let read = |state, version, turns, age| {
        let row = GuardRecord {
            turns,
            ..scene.row("old", state, version, Duration::from_secs(age))
        };
        scene.adopt(row);
    };
    read(GuardPhase::Tripped, 1, 1, 0);
    scene.pass(10.0);
    assert_eq!(pushed(), 5_000);
    // The clock of the database leaps by an hour, and the row is written once more.
    read(GuardPhase::Tripped, 2, 1, 3_610);
    assert_eq!(pushed(), 5_000);
    read(GuardPhase::Tripped, 1, 1, 9_999);
    assert_eq!(pushed(), 5_000, "an old row");
    scene.pass(100.0);
    read(GuardPhase::Returning, 3, 2, 0);
    scene.pass(130.0);
    assert_eq!(pushed(), 3_000);
    read(GuardPhase::Returning, 4, 2, 0);
    assert_eq!(pushed(), 3_000, "it leaps back");
    // One that trips anew has a time of its own.
    read(GuardPhase::Tripped, 5, 3, 0);
    assert_eq!(pushed(), 10_000);
}

#[test]
fn a_restart_goes_on_by_the_age_of_the_row() {
    let scene = Scene::at(Stage::Sunset);
    let row = scene.row("old", GuardPhase::Returning, 7, Duration::ZERO);
    // It was running before the machine's clock that only counts was begun.
    scene.adopt(row);
    scene.pass(25.0);
    let post = scene.guards.post(&scene.module, "old").unwrap();
    assert_eq!(scene.guards.pushed(&post).get(), 2_500);
    assert_eq!(scene.guards.turns(&scene.module, "old"), 7);
    assert_eq!(scene.guards.turns(&scene.module, "new"), 0);
}

#[test]
fn a_row_that_has_gone_back_counts_and_moves_clients_at_their_pace() {
    let scene = Scene::at(Stage::Sunset);
    let post = || scene.guards.post(&scene.module, "old").unwrap();
    let pushed = || scene.guards.pushed(&post()).get();
    scene.read("old", GuardPhase::Tripped, 9);
    scene.pass(15.0);
    assert_eq!(pushed(), 2_500);
    // A reading that was late.
    scene.read("old", GuardPhase::Watching, 4);
    scene.pass(16.0);
    scene.read("old", GuardPhase::Tripped, 9);
    scene.pass(17.0);
    scene.read("old", GuardPhase::Watching, 4);
    scene.pass(21.9);
    scene.read("old", GuardPhase::Watching, 4);
    assert_eq!((post().version(), pushed()), (9, 0));
    scene.pass(22.0);
    let generation = scene.flags.generation();
    scene.read("old", GuardPhase::Watching, 4);
    assert_eq!((post().version(), pushed()), (4, 0));
    assert!(scene.flags.generation() > generation);
    scene.pass(52.0);
    assert_eq!(pushed(), 3_000, "they return in their time");
    // Before there was any row.
    scene.see(Vec::new());
    scene.pass(58.0);
    scene.see(Vec::new());
    assert_eq!((post().version(), pushed()), (0, 3_600));
    scene.read("old", GuardPhase::Watching, 3);
    let goes_back = |state| {
        scene.read("old", state, 2);
        let after = *scene.passed.lock().unwrap() + Duration::from_secs(6);
        scene.pass(after.as_secs_f64());
        let before = pushed();
        let old = scene.row("old", state, 2, Duration::from_hours(1));
        scene.adopt(old);
        assert_eq!((post().version(), pushed()), (2, before));
    };
    goes_back(GuardPhase::Returning);
    scene.read("old", GuardPhase::Returning, 3);
    goes_back(GuardPhase::Tripped);
    assert!(post().has_tripped());
}

#[test]
fn a_row_that_cannot_be_read_has_not_gone() {
    let scene = Scene::at(Stage::Sunset);
    scene.read("old", GuardPhase::Tripped, 2);
    let unreadable = || Unreadable {
        module: scene.module.to_string(),
        error: Error::Corrupt {
            table: "guard",
            what: "moonshine".to_owned(),
        },
    };
    for at in [0.0, 30.0] {
        scene.pass(at);
        let seen = GuardsSeen {
            records: vec![scene.row("new", GuardPhase::Tripped, 1, Duration::ZERO)],
            unreadable: vec![unreadable()],
            ..GuardsSeen::default()
        };
        scene.guards.adopt(&seen, scene.now());
    }
    let has_tripped = |target| {
        scene
            .guards
            .post(&scene.module, target)
            .unwrap()
            .has_tripped()
    };
    assert!(has_tripped("old") && has_tripped("new"));
}

#[test]
fn a_turn_is_a_new_version_and_a_new_generation() {
    let scene = Scene::at(Stage::Sunset);
    let version = |target| scene.adviser.told_version(&scene.module, Some(target));
    let (before, generation) = (version("new"), scene.flags.generation());
    scene.read("new", GuardPhase::Tripped, 1);
    assert_eq!((version("new"), version("old")), (before + 1, before));
    assert!(scene.flags.generation() > generation);
    let generation = scene.flags.generation();
    scene.read("new", GuardPhase::Tripped, 1);
    assert_eq!(scene.flags.generation(), generation, "nothing is new");
    // It has healed and tripped again between two readings.
    scene.read("new", GuardPhase::Tripped, 3);
    assert!(scene.flags.generation() > generation);
    assert_eq!(version("new"), before + 3);
}

#[test]
fn the_worse_of_both_counts() {
    let scene = Scene::at(Stage::Sunset);
    let began = scene.now();
    let own = |state| scene.guards.find(&scene.module, "old", state);
    own(State::Tripped {
        cause: Cause::Leaderless,
        since: began,
        share: BasisPoints::ALL,
        healthy_since: None,
    });
    let post = || -> Post { scene.guards.post(&scene.module, "old").unwrap() };
    scene.pass(5.0);
    assert_eq!(scene.guards.pushed(&post()).get(), 7_500);
    assert!(post().has_tripped());
    assert_eq!(
        scene.guards.turns(&scene.module, "old"),
        0,
        "written nowhere"
    );
    // The new holder writes it down, and it goes on from there.
    let row = GuardRecord {
        share: BasisPoints::new(7_500).unwrap(),
        ..scene.row("old", GuardPhase::Tripped, 1, Duration::ZERO)
    };
    scene.adopt(row);
    assert_eq!(post().own, State::Watching);
    assert_eq!(scene.guards.pushed(&post()).get(), 7_500);
}

/// Everybody is on push and hears of the trip at once, as from the retained message; they ask when they are told to, and poll at a
/// random moment of their interval once they are told to.
#[test]
fn five_thousand_come_back_at_the_configured_rate() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let scene = Scene::at(Stage::Sunset);
    let ids: Vec<_> = scene.ids("old").take(CLIENTS).collect();
    scene.read("old", GuardPhase::Tripped, 1);
    let interval = 5.0;
    let mut arrivals = vec![0_usize; 60];
    let mut moved = vec![0_usize; 60];
    // Some hear of it late, and ask in the middle.
    let mut asking: Vec<(f64, &String)> = ids
        .iter()
        .map(|id| (if chance.random_bool(0.1) { 11.0 } else { 0.2 }, id))
        .collect();
    let late = asking.iter().filter(|(at, _)| *at > 1.0).count();
    while let Some((at, id)) = asking.pop() {
        scene.pass(at);
        let advice = scene.adviser.advise(&scene.module, &Client::named(id));
        let second = |at: f64| format!("{at:.0}").parse::<usize>().unwrap();
        match (advice.evaluation.transport, advice.until) {
            (Transport::Poll, None) => {
                moved[second(at.floor())] += 1;
                let first = at + interval * chance.random_range(0.0..1.0);
                arrivals[second(first.floor())] += 1;
            }
            (Transport::Push, Some(until)) => {
                assert!(until > scene.now());
                let wait = (until - scene.now()).as_secs_f64();
                asking.push((at + wait + 0.001, id));
            }
            other => panic!("{other:?} at {at}"),
        }
    }
    println!("moved {moved:?}, arrived {arrivals:?}");
    assert_eq!(arrivals.iter().sum::<usize>(), CLIENTS);
    // 250 a second are expected, 16 is the standard deviation; those who were late arrive over their interval on top.
    let on_top = late / 5;
    for (second, count) in arrivals.iter().enumerate() {
        assert!(*count <= 250 + on_top + 90, "{count} in second {second}");
    }
    for (second, count) in moved.iter().enumerate() {
        let heard = if second == 11 { late } else { 0 };
        assert!(*count <= 250 + heard + 80, "{count} in second {second}");
    }
}
