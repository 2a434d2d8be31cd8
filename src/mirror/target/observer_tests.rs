use super::*;
use crate::{
    cutover::guard::Observer as _,
    domain::{Cursor, Epoch, Micros, Position},
    mirror::{ModuleVerification, Verification},
};

const WITHIN: Duration = Duration::from_mins(1);

struct Scene {
    target: Arc<TargetStatus>,
    observer: Observer,
    module: ModuleName,
    began: Instant,
}

impl Scene {
    fn new() -> Self {
        let target = Arc::new(TargetStatus::new("t"));
        target.set_fed(true);
        target.set_connected(true);
        let status = Status::new([Arc::clone(&target)]);
        Self {
            observer: Observer::new(status, Arc::default(), WITHIN),
            target,
            module: "m".parse().unwrap(),
            began: Instant::now(),
        }
    }

    /// What is shown `at` so many seconds, with a clock of the machine that says anything.
    fn see(&mut self, at: u64, acknowledged: u64, head: u64) -> Option<Evidence> {
        let status = ModuleStatus {
            acknowledged: Cursor::new(Epoch::FIRST, Position::new(acknowledged)),
            stay: 1,
            generation: 1,
            behind: head - acknowledged,
            oldest: (head > acknowledged).then(|| Micros::new(i64::MIN / 2)),
            halted: None,
            skipped: None,
            unheard: None,
        };
        self.show(at, Some(status))
    }

    fn show(&mut self, at: u64, status: Option<ModuleStatus>) -> Option<Evidence> {
        let modules = status.map(|status| (self.module.clone(), status));
        self.target.set_modules(modules.into_iter().collect());
        let now = self.began + Duration::from_secs(at);
        self.observer.look(now);
        self.observer.evidence(&self.module, "t", now)
    }

    fn missed(&self, count: u64) {
        let mut found = ModuleVerification::new(Micros::new(0));
        found.counts[Outcome::Missing as usize] = count;
        let found = BTreeMap::from([(self.module.clone(), found)]);
        Verification::set(self.target.verification(), true, 1.0, found);
    }
}

fn lag(seconds: u64) -> Evidence {
    Evidence {
        lag: Duration::from_secs(seconds),
        ..Evidence::HEALTHY
    }
}

#[test]
fn a_lag_is_what_was_seen_of_it_whatever_the_time_of_day() {
    let mut scene = Scene::new();
    assert_eq!(scene.see(0, 0, 10), Some(lag(0)));
    assert_eq!(scene.see(5, 3, 20), Some(lag(5)), "the oldest still waits");
    assert_eq!(scene.see(8, 12, 20), Some(lag(3)), "a younger one does");
    assert_eq!(scene.see(9, 20, 20), Some(lag(0)));
    assert_eq!(scene.see(99, 20, 21), Some(lag(0)));
    // The broker has lost its state, and what was acknowledged comes again.
    assert_eq!(scene.see(100, 15, 21), Some(lag(1)));
}

#[test]
fn a_long_lag_takes_no_more_memory() {
    let mut scene = Scene::new();
    for at in 0..10_000 {
        assert_eq!(scene.see(at, 0, at + 1), Some(lag(at)));
    }
    let sight = scene.observer.sights.values().next().unwrap();
    assert!(sight.marks.len() <= MOST_MARKS);
    // It has sent up to 5,000, and what is left has waited for about 5,000 seconds.
    let left = scene.see(10_000, 5_000, 10_000).unwrap().lag.as_secs();
    assert!((4_650..=5_000).contains(&left), "{left}");
}

#[test]
fn a_target_is_away_from_its_first_look_on() {
    let mut scene = Scene::new();
    let away = |evidence: Option<Evidence>| evidence.map(|evidence| evidence.away.as_secs());
    scene.target.set_away("refused");
    let first = scene.see(0, 0, 0).unwrap();
    assert!(!first.away.is_zero(), "it does not heal in that moment");
    assert_eq!(away(scene.see(12, 0, 0)), Some(12));
    assert_eq!(
        away(scene.show(13, None)),
        Some(13),
        "before its cursor is read"
    );
    scene.target.set_connected(true);
    assert_eq!(scene.see(14, 0, 0), Some(Evidence::HEALTHY));
    assert_eq!(scene.show(15, None), None);
    scene.target.set_away("again");
    assert_eq!(away(scene.see(16, 0, 0)), Some(0));
    // Nobody judges what is paused, and after it the time begins anew.
    scene.target.set_fed(false);
    assert_eq!(scene.see(60, 0, 0), None);
    scene.target.set_fed(true);
    assert_eq!(away(scene.see(61, 0, 0)), Some(0));
}

#[test]
fn what_was_missed_counts_for_a_while() {
    let mut scene = Scene::new();
    let missing = |evidence: Option<Evidence>| evidence.unwrap().missing;
    scene.missed(7);
    assert_eq!(missing(scene.see(0, 0, 0)), 0, "before it was looked at");
    scene.missed(9);
    assert_eq!(missing(scene.see(1, 0, 0)), 2);
    scene.missed(10);
    assert_eq!(missing(scene.see(30, 0, 0)), 3);
    assert_eq!(missing(scene.see(62, 0, 0)), 1);
    assert_eq!(missing(scene.see(91, 0, 0)), 0);
    for n in 0..500 {
        scene.missed(11 + n);
        scene.see(100, 0, 0);
    }
    assert_eq!(missing(scene.see(101, 0, 0)), 500);
    let sight = scene.observer.sights.values().next().unwrap();
    assert!(sight.losses.len() <= MOST_LOSSES);
}

#[test]
fn a_halt_is_seen() {
    let mut scene = Scene::new();
    scene.see(0, 0, 1);
    let mut status = scene.target.module(&scene.module).unwrap();
    status.halted = Some("refused".to_owned());
    assert!(scene.show(1, Some(status)).unwrap().halted);
}
