//! A client against a model of the gateway, in virtual time: whatever is dropped, doubled, reordered, refused, flipped, pruned or
//! begun anew, the client ends with exactly what the log says, and applies nothing twice.

mod model;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use self::model::{Gateway, pick, value};
use super::{
    Action, By, Change, Client, Event, LinkId, Message, Progress, Settings, Way, chance::Chance,
};
use crate::domain::{Cursor, Op, Transport};

/// How long there is trouble, and how long there is none after it.
const TROUBLE: Duration = Duration::from_secs(300);
const QUIET: Duration = Duration::from_secs(120);

/// Which troubles there are.
#[derive(Debug, Clone, Copy)]
struct World {
    keeps_state: bool,
    /// Pruning beyond the client, and new epochs.
    forgets: bool,
    /// Replicas that answer reads from a tail that is behind.
    lags: bool,
}

struct Simulation {
    world: World,
    gateway: Gateway,
    client: Client,
    chance: Chance,
    now: Duration,
    /// What happens when, in the order of time.
    agenda: BTreeMap<(Duration, u64), Happens>,
    entries: u64,
    link: Option<Link>,
    /// What the broker keeps for a client that is away.
    kept: Option<Vec<Message>>,
    store: Store,
    seen: BTreeSet<&'static str>,
    /// The end of the log when a new subscription stood: nothing pushed is applied before it was read.
    stood_at: Option<Cursor>,
}

struct Link {
    id: LinkId,
    is_open: bool,
    is_subscribed: bool,
}

enum Happens {
    Event(Event),
    /// Answers are made when they are sent, and arrive later.
    Answer(Action),
    Change,
    Trouble,
}

/// What the application holds.
#[derive(Default)]
struct Store {
    held: BTreeMap<(String, String), String>,
    /// Since it was told to forget.
    applied: Vec<Change>,
    lasts: BTreeMap<String, u64>,
    forgotten: u32,
}

impl Store {
    fn apply(&mut self, change: Change, by: By) {
        let audience = change.audience.as_str().to_owned();
        let slot = (audience.clone(), change.key.to_string());
        let before = self.lasts.insert(audience, change.position.get());
        if by != By::State {
            assert!(
                before < Some(change.position.get()),
                "again or late: {change:?}"
            );
        }
        match change.op {
            Op::Upsert => self.held.insert(slot, value(&change)),
            Op::Delete => self.held.remove(&slot),
        };
        self.applied.push(change);
    }

    fn forget(&mut self) {
        let forgotten = self.forgotten + 1;
        *self = Self {
            forgotten,
            ..Self::default()
        };
    }
}

impl Simulation {
    fn new(world: World, seed: u64) -> Self {
        let gateway = Gateway::new(world.keeps_state);
        let modules = [(gateway.module.clone(), Progress::from_the_beginning())];
        let settings = Settings {
            kept_changes: 20,
            ..Settings::default()
        };
        let mut simulation = Self {
            world,
            client: Client::new(settings, modules, seed),
            gateway,
            chance: Chance::new(!seed),
            now: Duration::ZERO,
            agenda: BTreeMap::new(),
            entries: 0,
            link: None,
            kept: None,
            store: Store::default(),
            seen: BTreeSet::new(),
            stood_at: None,
        };
        simulation.after(0, Happens::Change);
        simulation.after(0, Happens::Trouble);
        simulation
    }

    /// Something happens in up to so many milliseconds.
    fn after(&mut self, most_ms: u64, what: Happens) {
        let delay = Duration::from_millis(most_ms).mul_f64(self.chance.draw());
        self.at(self.now + delay, what);
    }

    fn at(&mut self, at: Duration, what: Happens) {
        self.entries += 1;
        self.agenda.insert((at, self.entries), what);
    }

    fn is_quiet(&self) -> bool {
        self.now >= TROUBLE
    }

    fn happens(&mut self, share: f64) -> bool {
        !self.is_quiet() && self.chance.draw() < share
    }

    fn run(&mut self) {
        self.tell(Event::Time);
        while self.now < TROUBLE + QUIET {
            let wakes = self.client.wakes_at();
            let next = self.agenda.keys().next().map(|(at, _)| *at);
            if next.is_none_or(|next| wakes < next) {
                assert!(wakes >= self.now, "it sleeps into the past");
                self.now = wakes;
                self.tell(Event::Time);
                assert!(self.client.wakes_at() > self.now, "it would wake for ever");
                continue;
            }
            let ((at, _), what) = self.agenda.pop_first().unwrap();
            self.now = at;
            match what {
                Happens::Event(event) => self.tell(event),
                Happens::Answer(action) => self.answer(&action),
                Happens::Change => self.change(),
                Happens::Trouble => self.trouble(),
            }
        }
    }

    fn tell(&mut self, event: Event) {
        let actions = self.client.handle(event, self.now);
        self.see();
        for action in actions {
            self.act(action);
        }
    }

    fn see(&mut self) {
        let word = match self.client.way("m1").unwrap() {
            Way::Polling => "polling",
            Way::Joining => "joining",
            Way::Away => "away",
            Way::CatchingUp => "catching up",
            Way::Live => {
                let cursor = self.client.progress("m1").unwrap().cursor();
                let stood_at = self.stood_at.take();
                assert!(
                    self.world.lags || cursor >= stood_at,
                    "{cursor:?} {stood_at:?}"
                );
                "live"
            }
        };
        self.seen.insert(word);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::AskSession | Action::Read { .. } | Action::TakeState { .. } => {
                self.after(50, Happens::Answer(action));
            }
            Action::Connect { link, .. } => {
                assert!(self.link.is_none(), "a second connection");
                self.link = Some(Link {
                    id: link,
                    is_open: false,
                    is_subscribed: false,
                });
                self.after(
                    200,
                    Happens::Answer(Action::Connect {
                        link,
                        connection: self.gateway.session().targets[self.gateway.target].clone(),
                    }),
                );
            }
            Action::Disconnect { link } => {
                assert_eq!(self.link.take().map(|link| link.id), Some(link));
                self.stood_at = None;
                self.kept = None;
            }
            Action::Subscribe { .. } => self.after(50, Happens::Answer(action)),
            Action::Unsubscribe { .. } => panic!("there is one module"),
            Action::Forget { .. } => self.store.forget(),
            Action::Apply { change, by, .. } => {
                self.seen.insert(by.as_str());
                self.store.apply(change, by);
            }
        }
    }

    fn answer(&mut self, action: &Action) {
        let module = self.gateway.module.clone();
        let fails = self.happens(0.1);
        let event = match action {
            Action::AskSession if fails => Event::SessionFailed(Some(Duration::from_secs(1))),
            Action::AskSession => Event::Session(self.gateway.session()),
            Action::Read { .. } | Action::TakeState { .. } if fails => {
                Event::ReadFailed(module, None)
            }
            Action::Read { after, .. } => {
                let behind = if self.world.lags && self.happens(0.1) {
                    3
                } else {
                    0
                };
                let page = self.gateway.read(*after, behind);
                page.map_or(Event::Gone(module.clone()), |page| {
                    Event::Page(module, page)
                })
            }
            Action::TakeState { .. } if !self.gateway.keeps_state => Event::NoState(module),
            Action::TakeState { page, .. } => {
                let page = self.gateway.state(page.as_deref());
                page.map_or(Event::Gone(module.clone()), |page| {
                    Event::State(module, page)
                })
            }
            Action::Connect { link, .. } => return self.connected(*link, fails),
            Action::Subscribe { link, .. } => return self.subscribed(*link),
            other => panic!("{other:?} has no answer"),
        };
        self.after(100, Happens::Event(event));
    }

    fn connected(&mut self, id: LinkId, fails: bool) {
        let Some(link) = self.link.as_mut().filter(|link| link.id == id) else {
            return;
        };
        if fails {
            self.link = None;
            return self.tell(Event::Disconnected { link: id });
        }
        link.is_open = true;
        let kept = self.kept.take();
        let session_present = kept.is_some();
        link.is_subscribed = session_present;
        self.tell(Event::Connected {
            link: id,
            session_present,
        });
        for message in kept.into_iter().flatten() {
            self.deliver(message);
        }
    }

    fn subscribed(&mut self, id: LinkId) {
        let refused = self.happens(0.05);
        let Some(link) = self
            .link
            .as_mut()
            .filter(|link| link.id == id && link.is_open)
        else {
            return;
        };
        if !link.is_subscribed && !refused {
            self.stood_at = Some(self.gateway.cursor());
        }
        link.is_subscribed |= !refused;
        let (module, bookmark) = (self.gateway.module.clone(), self.gateway.bookmark());
        self.tell(Event::Subscribed {
            link: id,
            module,
            granted: !refused,
        });
        if !refused {
            self.deliver(bookmark);
        }
    }

    /// A message comes over the connection, or not, or twice, or late.
    fn deliver(&mut self, message: Message) {
        let Some(id) = self.link.as_ref().map(|link| link.id) else {
            return;
        };
        let is_change = matches!(message, Message::Change(..));
        if is_change && self.happens(0.05) {
            return;
        }
        let times = if self.happens(0.1) { 2 } else { 1 };
        for _ in 0..times {
            let late = if self.happens(0.1) { 400 } else { 0 };
            let message = message.clone();
            // What left in order arrives in order, but for what is late.
            let at = self.now + Duration::from_millis(30 + late);
            self.at(at, Happens::Event(Event::Message { link: id, message }));
        }
    }

    fn publish(&mut self, message: Message) {
        if let Some(link) = &self.link {
            if link.is_subscribed {
                self.deliver(message);
            }
        } else if let Some(kept) = &mut self.kept {
            kept.push(message);
        }
    }

    fn change(&mut self) {
        let change = self.gateway.append(&mut self.chance);
        let mut change = change;
        if self.happens(0.05) {
            change.value = None;
        }
        let mine = ["*", "u1"].contains(&change.audience.as_str());
        let message = Message::Change(self.gateway.module.clone(), change);
        if mine {
            self.publish(message);
        }
        // The last change comes early enough to be found by a resync.
        if self.now < TROUBLE + QUIET / 2 {
            self.after(400, Happens::Change);
        }
    }

    fn trouble(&mut self) {
        if self.is_quiet() {
            return;
        }
        match pick(&mut self.chance, if self.world.forgets { 8 } else { 6 }) {
            0 | 1 => self.flip(),
            2 => self.cut(true),
            3 => self.cut(false),
            4 => {
                self.gateway.generation += 1;
                let bookmark = self.gateway.bookmark();
                self.publish(bookmark);
            }
            5 => {}
            6 => {
                let head = self.gateway.cursor().position.get();
                self.gateway.prune(head.saturating_sub(2));
            }
            _ => self.gateway.begin_epoch(),
        }
        self.after(8_000, Happens::Trouble);
    }

    fn flip(&mut self) {
        let gateway = &mut self.gateway;
        gateway.version += 1;
        match gateway.transport {
            Transport::Poll => gateway.transport = Transport::Push,
            Transport::Push if self.chance.draw() < 0.3 => {
                gateway.target = if gateway.target == "a" { "b" } else { "a" };
            }
            Transport::Push => gateway.transport = Transport::Poll,
        }
        let bookmark = self.gateway.bookmark();
        self.publish(bookmark);
    }

    /// The connection breaks, with or without the session.
    fn cut(&mut self, is_kept: bool) {
        if let Some(link) = self.link.take_if(|link| link.is_open) {
            self.stood_at = None;
            // What is under way on it is lost.
            self.agenda.retain(|_, what| {
                !matches!(what, Happens::Event(Event::Message { link: id, .. }) if *id == link.id)
            });
            self.kept = (is_kept && link.is_subscribed).then(Vec::new);
            self.tell(Event::Disconnected { link: link.id });
        }
    }

    fn assert_has_all(&self) {
        let progress = self.client.progress("m1").unwrap();
        assert_eq!(
            progress.cursor(),
            Some(self.gateway.cursor()),
            "it has read all"
        );
        assert_eq!(self.store.held, self.gateway.held());
        if self.store.forgotten == 0 {
            let mut applied = self.store.applied.clone();
            applied.sort_by_key(|change| change.position);
            let mine = |change: &&Change| ["*", "u1"].contains(&change.audience.as_str());
            let log: Vec<_> = self.gateway.log.iter().filter(mine).cloned().collect();
            assert_eq!(applied, log);
        }
    }
}

/// Runs worlds of this kind, and returns what was seen in them.
fn worlds(world: World, count: u64) -> BTreeSet<&'static str> {
    let given = std::env::var("CHANGEOVER_TEST_SEED").ok();
    let seeds = given.map_or(0..count, |seed| {
        let seed = seed.parse().unwrap();
        seed..seed + 1
    });
    let mut seen = BTreeSet::new();
    for seed in seeds {
        println!("{world:?}, CHANGEOVER_TEST_SEED={seed}");
        let mut simulation = Simulation::new(world, seed);
        simulation.run();
        simulation.assert_has_all();
        seen.append(&mut simulation.seen);
    }
    seen
}

const WAYS: [&str; 5] = ["polling", "joining", "away", "catching up", "live"];

#[test]
fn nothing_is_lost_and_nothing_applied_twice() {
    let world = World {
        keeps_state: true,
        forgets: false,
        lags: false,
    };
    let seen = worlds(world, 50);
    for expected in WAYS.iter().chain(&["push", "read"]) {
        assert!(seen.contains(expected), "never: {expected}");
    }
}

#[test]
fn who_is_too_far_behind_takes_the_state() {
    let world = World {
        keeps_state: true,
        forgets: true,
        lags: true,
    };
    let seen = worlds(world, 50);
    for expected in WAYS.iter().chain(&["push", "read", "state"]) {
        assert!(seen.contains(expected), "never: {expected}");
    }
}

#[test]
fn without_state_it_begins_again_at_the_beginning() {
    let world = World {
        keeps_state: false,
        forgets: false,
        lags: true,
    };
    worlds(world, 50);
}
