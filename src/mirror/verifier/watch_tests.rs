//! A watch over a tail that the test fills, at times that the test says.

use std::sync::Arc;

use super::*;
use crate::{
    config,
    domain::{Audience, Change, JsonText, Op},
    log::Tail,
    mirror::{
        topic::Topics,
        verifier::{
            ModuleVerification,
            received::{Print, fingerprint},
        },
    },
    store::Head,
};

struct Scene {
    settings: config::verifier::Verifier,
    tail: Tail,
    topics: Topics,
    delivery: metrics::Histogram,
    start: Instant,
    tally: Tally,
    watch: Watch,
}

fn module() -> ModuleName {
    "m".parse().unwrap()
}

fn change(epoch: u32, position: u64) -> Change {
    Change {
        epoch: Epoch::new(epoch),
        position: Position::new(position),
        previous: Position::new(position - 1),
        audience: Audience::everyone(),
        key: "k".into(),
        op: Op::Upsert,
        value: JsonText::null(),
        change_id: None,
        occurred_at: Micros::new(0),
        sequenced_at: Micros::new(0),
    }
}

fn head(epoch: u32, position: u64) -> Head {
    Head {
        module: module(),
        epoch: Epoch::new(epoch),
        head: Position::new(position),
        retained_from: Position::new(position + 1),
        stateless_from: None,
        compacted_through: Position::ZERO,
        sequenced_through: Micros::new(0),
        lease_holder: None,
        lease_vacant: false,
    }
}

fn status(epoch: u32, acknowledged: u64) -> ModuleStatus {
    ModuleStatus {
        acknowledged: Cursor::new(Epoch::new(epoch), Position::new(acknowledged)),
        stay: 1,
        generation: 0,
        behind: 0,
        oldest: None,
        halted: None,
        skipped: None,
        unheard: None,
    }
}

impl Scene {
    /// A log of so many changes, of which so many are acknowledged.
    fn new(changes: u64, acknowledged: u64) -> Self {
        let settings = config::verifier::Verifier::default();
        let tail = Tail::new(&config::tail::Tail::default(), &[module()]);
        tail.adopt_head(&head(1, 0));
        let (topics, start) = (Topics::new("p"), Instant::now());
        let delivery = metrics::Histogram::noop();
        let tally = Tally::new("t", &module(), Micros::new(0));
        let edge = tail.edge(&module()).unwrap();
        let sight = Sight {
            settings: &settings,
            tail: &tail,
            topics: &topics,
            delivery: &delivery,
            slack: 10,
            now: start,
            time: Micros::new(0),
        };
        let watch = Watch::new(&module(), edge, &status(1, 0), 1, Share::default(), &sight);
        let mut scene = Self {
            settings,
            tail,
            topics,
            delivery,
            start,
            tally,
            watch,
        };
        scene.append(1, 1..=changes);
        scene.at(0, |watch, sight, tally| {
            watch.look(&status(1, acknowledged), 1, sight, tally);
        });
        scene
    }

    fn append(&self, epoch: u32, positions: impl IntoIterator<Item = u64>) {
        let changes = positions.into_iter();
        let changes: Vec<_> = changes.map(|at| Arc::new(change(epoch, at))).collect();
        assert!(self.tail.append(&module(), &changes));
    }

    /// Does something so many seconds after the start.
    fn at<T>(
        &mut self,
        second: u64,
        act: impl FnOnce(&mut Watch, &Sight<'_>, &mut Tally) -> T,
    ) -> T {
        let sight = Sight {
            settings: &self.settings,
            tail: &self.tail,
            topics: &self.topics,
            delivery: &self.delivery,
            slack: 10,
            now: self.start + Duration::from_secs(second),
            time: Micros::new(0),
        };
        act(&mut self.watch, &sight, &mut self.tally)
    }

    fn begin(&mut self, second: u64) {
        self.at(second, |watch, sight, _| watch.begin(sight));
    }

    fn look(&mut self, second: u64, epoch: u32, acknowledged: u64) {
        self.at(second, |watch, sight, tally| {
            watch.look(&status(epoch, acknowledged), 1, sight, tally);
        });
    }

    fn hear(&mut self, second: u64, epoch: u32, position: u64) {
        let change = change(epoch, position);
        let topic = self.topics.channel(&module(), &change.audience);
        let event = Received {
            channel: fingerprint(&[&topic]),
            epoch: change.epoch,
            position: change.position,
            previous: change.previous,
            print: Print::of(&change),
        };
        self.at(second, |watch, sight, tally| {
            watch.hear(event, sight, tally);
        });
    }

    fn is_overdue(&mut self, second: u64) -> bool {
        self.at(second, |watch, sight, _| watch.is_overdue(sight))
    }

    fn found(&self) -> &ModuleVerification {
        self.tally.found()
    }

    fn counts(&self, outcomes: [Outcome; 3]) -> [u64; 3] {
        outcomes.map(|outcome| self.found().count(outcome))
    }
}

const KNOWN: [Outcome; 3] = [Outcome::Ok, Outcome::Missing, Outcome::Unobserved];

#[test]
fn what_was_acknowledged_while_nobody_listened_is_unobserved() {
    let mut scene = Scene::new(5, 3);
    scene.begin(1);
    // The last two may have been sent before the subscription stood, or after.
    scene.look(2, 1, 5);
    scene.look(30, 1, 5);
    assert!(!scene.is_overdue(60));
    assert_eq!(scene.counts(KNOWN), [0, 0, 5]);
}

#[test]
fn what_is_numbered_after_the_subscription_must_arrive() {
    let mut scene = Scene::new(5, 5);
    scene.begin(1);
    scene.append(1, 6..=8);
    scene.hear(2, 1, 6);
    scene.look(3, 1, 8);
    assert!(!scene.is_overdue(12), "acknowledged nine seconds ago");
    scene.look(13, 1, 8);
    assert!(scene.is_overdue(14));
    assert_eq!(scene.counts(KNOWN), [1, 0, 5], "nobody has asked yet");
    scene.at(14, Watch::miss);
    assert_eq!(scene.counts(KNOWN), [1, 2, 5]);
    let problem = scene.found().last_problem.as_ref().unwrap();
    assert_eq!(problem.position, Some(Position::new(7)));
}

#[test]
fn the_first_event_shows_how_far_the_mirror_was() {
    let mut scene = Scene::new(100, 20);
    scene.begin(1);
    // Ten may be on their way at once: up to 40 it may have been sent before.
    scene.hear(2, 1, 30);
    for position in 31..=99 {
        scene.hear(2, 1, position);
    }
    scene.look(3, 1, 100);
    scene.look(20, 1, 100);
    assert!(scene.is_overdue(20));
    scene.at(20, Watch::miss);
    assert_eq!(scene.counts(KNOWN), [59, 1, 40]);
}

#[test]
fn what_was_on_its_way_when_the_connection_broke_is_unobserved() {
    let mut scene = Scene::new(0, 0);
    scene.begin(1);
    scene.append(1, 1..=4);
    scene.hear(2, 1, 1);
    scene.look(3, 1, 3);
    scene.at(4, |watch, _, tally| watch.end(tally));
    scene.begin(5);
    // The fourth was numbered before, and sent again after.
    scene.look(30, 1, 4);
    assert!(!scene.is_overdue(30));
    assert_eq!(scene.counts(KNOWN), [1, 0, 3]);
}

#[test]
fn a_new_epoch_ends_what_was_expected() {
    let mut scene = Scene::new(0, 0);
    scene.begin(1);
    scene.append(1, 1..=2);
    scene.look(2, 1, 2);
    // The broker is quicker than the tail.
    scene.hear(3, 2, 1_000_001);
    scene.tail.adopt_head(&head(2, 1_000_000));
    scene.look(4, 1, 2);
    scene.append(2, [1_000_001]);
    scene.look(5, 2, 1_000_000);
    scene.look(30, 2, 1_000_001);
    scene.hear(4, 1, 2);
    assert!(!scene.is_overdue(60));
    assert_eq!(scene.counts(KNOWN), [1, 0, 2]);
    assert_eq!(scene.found().last_problem, None);
    scene.hear(60, 1, 2);
    assert_eq!(scene.found().count(Outcome::Foreign), 1, "long over");
}

#[test]
fn an_event_beyond_the_log_waits_for_it() {
    let mut scene = Scene::new(0, 0);
    scene.begin(1);
    scene.hear(2, 1, 1);
    scene.hear(2, 1, 7);
    scene.append(1, [1]);
    scene.look(3, 1, 1);
    assert_eq!(scene.counts(KNOWN), [1, 0, 0]);
    assert_eq!(scene.found().count(Outcome::Foreign), 0);
    scene.look(13, 1, 1);
    assert_eq!(scene.found().count(Outcome::Foreign), 1);
}
