//! A client against a model of the gateway, in virtual time: whatever is dropped, doubled, reordered, refused, flipped, pruned or
//! begun anew, the client ends with exactly what the log says, and applies nothing twice.

mod brokers;
mod gateway;
mod store;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use self::{
    brokers::Brokers,
    gateway::{Gateway, pick},
    store::Store,
};
use super::{
    Action, Change, Client, Connection, Event, Message, Progress, Session, Settings, Way,
    chance::Chance,
};
use crate::domain::{ModuleName, Transport};

/// How long there is trouble, and how long there is none after it.
const TROUBLE: Duration = Duration::from_mins(5);
const QUIET: Duration = Duration::from_mins(2);

/// They share connections where they are pushed from one target.
const MODULES: [&str; 2] = ["m1", "m2"];

/// Which troubles there are.
#[derive(Debug, Clone, Copy)]
struct World {
    too_old: TooOld,
    /// Pruning beyond the client, and new epochs.
    forgets: bool,
    /// Replicas that answer reads from a tail that is behind.
    lags: bool,
}

/// What is answered where the log does not reach back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TooOld {
    /// There is a snapshot.
    Snapshot,
    /// There is none.
    NoState,
    /// Reads are legacy polls, which answer with the state themselves.
    StateInPolls,
}

struct Simulation {
    world: World,
    gateways: BTreeMap<ModuleName, Gateway>,
    stores: BTreeMap<ModuleName, Store>,
    brokers: Brokers,
    client: Client,
    chance: Chance,
    now: Duration,
    /// What happens when, in the order of time.
    agenda: BTreeMap<(Duration, u64), Happens>,
    entries: u64,
    seen: BTreeSet<&'static str>,
}

enum Happens {
    Event(Event),
    /// Answers are made when they are sent, and arrive later.
    Answer(Action),
    Change(ModuleName),
    Trouble(ModuleName),
}

impl Simulation {
    fn new(world: World, seed: u64) -> Self {
        let names: Vec<ModuleName> = MODULES.map(|name| name.parse().unwrap()).into();
        let modules = names.clone().into_iter();
        let modules = modules.map(|name| (name, Progress::from_the_beginning()));
        let settings = Settings {
            kept_changes: 20,
            ..Settings::default()
        };
        let gateway = |name: &ModuleName| Gateway::new(name.clone());
        let mut simulation = Self {
            world,
            client: Client::new(settings, modules, seed),
            gateways: names
                .iter()
                .map(|name| (name.clone(), gateway(name)))
                .collect(),
            stores: names
                .iter()
                .map(|name| (name.clone(), Store::default()))
                .collect(),
            brokers: Brokers::default(),
            chance: Chance::new(!seed),
            now: Duration::ZERO,
            agenda: BTreeMap::new(),
            entries: 0,
            seen: BTreeSet::new(),
        };
        for name in names {
            simulation.after(0, Happens::Change(name.clone()));
            simulation.after(0, Happens::Trouble(name));
        }
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

    fn happens(&mut self, share: f64) -> bool {
        self.now < TROUBLE && self.chance.draw() < share
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
                Happens::Change(module) => self.change(&module),
                Happens::Trouble(module) => self.trouble(&module),
            }
        }
    }

    fn tell(&mut self, event: Event) {
        let actions = self.client.handle(event, self.now);
        for module in MODULES {
            self.see(module);
        }
        for action in actions {
            self.act(action);
        }
    }

    fn see(&mut self, module: &str) {
        let word = match self.client.way(module).unwrap() {
            Way::Polling => "polling",
            Way::Joining => "joining",
            Way::Away => "away",
            Way::CatchingUp => "catching up",
            Way::Live => {
                assert!(self.is_subscribed(module), "nothing would come");
                let cursor = self.client.progress(module).unwrap().cursor();
                let stood_at = self.stores.get_mut(module).unwrap().stood_at.take();
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
            Action::AskSession
            | Action::Read { .. }
            | Action::TakeState { .. }
            | Action::Subscribe { .. } => self.after(50, Happens::Answer(action)),
            Action::Connect { link, connection } => self.connect(link, &connection),
            Action::Disconnect { link } => self.disconnect(link),
            Action::Unsubscribe { link, topics } => self.unsubscribe(link, &topics),
            Action::Forget { module } => self.stores.get_mut(&module).unwrap().forget(),
            Action::Apply { module, change, by } => {
                self.seen.insert(by.as_str());
                self.stores.get_mut(&module).unwrap().apply(change, by);
            }
        }
    }

    fn answer(&mut self, action: &Action) {
        let fails = self.happens(0.1);
        let event = match action {
            Action::AskSession if fails => Event::SessionFailed(Some(Duration::from_secs(1))),
            Action::AskSession => Event::Session(self.session()),
            Action::Read { module, .. } | Action::TakeState { module, .. } if fails => {
                Event::ReadFailed(module.clone(), None)
            }
            Action::Read { module, after } => {
                let is_behind = self.world.lags && self.happens(0.1);
                let behind = if is_behind { 3 } else { 0 };
                let gateway = &self.gateways[module];
                let page = if self.world.too_old == TooOld::StateInPolls {
                    Some(gateway.poll(*after, behind))
                } else {
                    gateway.read(*after, behind)
                };
                let module = module.clone();
                page.map_or(Event::Gone(module.clone()), |page| {
                    Event::Page(module, page)
                })
            }
            Action::TakeState { module, .. } if self.world.too_old == TooOld::NoState => {
                Event::NoState(module.clone())
            }
            Action::TakeState { module, page } => {
                let page = self.gateways[module].state(page.as_deref());
                let module = module.clone();
                page.map_or(Event::Gone(module.clone()), |page| {
                    Event::State(module, page)
                })
            }
            Action::Connect { link, .. } => return self.connected(*link, fails),
            Action::Subscribe { link, module, .. } => return self.subscribed(*link, module),
            other => panic!("{other:?} has no answer"),
        };
        self.after(100, Happens::Event(event));
    }

    fn session(&self) -> Session {
        // Each session has another password.
        let password = self.now.as_millis().to_string();
        let connection = |gateway: &Gateway| {
            let connection = Connection {
                password: Some(password.clone()),
                ..gateway.connection()
            };
            (gateway.target.to_owned(), connection)
        };
        let told = |gateway: &Gateway| (gateway.module.clone(), gateway.told());
        Session {
            next_session: Duration::from_secs(10),
            resync: Duration::from_secs(20),
            targets: self.gateways.values().map(connection).collect(),
            modules: self.gateways.values().map(told).collect(),
        }
    }

    fn change(&mut self, module: &ModuleName) {
        let is_pointer = self.happens(0.05);
        let gateway = self.gateways.get_mut(module).unwrap();
        let mut change: Change = gateway.append(&mut self.chance);
        if is_pointer {
            change.value = None;
        }
        if Gateway::is_mine(&change) {
            self.publish(module, &Message::Change(module.clone(), change));
        }
        // The last change comes early enough to be found by a resync.
        if self.now < TROUBLE + QUIET / 2 {
            self.after(400, Happens::Change(module.clone()));
        }
    }

    fn trouble(&mut self, module: &ModuleName) {
        if self.now >= TROUBLE {
            return;
        }
        let kinds = if self.world.forgets { 8 } else { 6 };
        let kind = pick(&mut self.chance, kinds);
        let gateway = self.gateways.get_mut(module).unwrap();
        match kind {
            0 | 1 => flip(gateway, &mut self.chance),
            2 => self.cut(true),
            3 => self.cut(false),
            4 => gateway.generation += 1,
            5 => {}
            6 => gateway.prune(gateway.cursor().position.get().saturating_sub(2)),
            _ => gateway.begin_epoch(),
        }
        let bookmark = self.gateways[module].bookmark();
        self.publish(module, &bookmark);
        self.after(8_000, Happens::Trouble(module.clone()));
    }

    fn assert_has_all(&self) {
        for (module, gateway) in &self.gateways {
            let progress = self.client.progress(module.as_str()).unwrap();
            assert_eq!(progress.cursor(), Some(gateway.cursor()), "{module}");
            self.stores[module].assert_is(gateway);
        }
    }
}

fn flip(gateway: &mut Gateway, chance: &mut Chance) {
    gateway.version += 1;
    match gateway.transport {
        Transport::Poll => gateway.transport = Transport::Push,
        Transport::Push if chance.draw() < 0.3 => {
            gateway.target = if gateway.target == "a" { "b" } else { "a" };
        }
        Transport::Push => gateway.transport = Transport::Poll,
    }
}

/// Runs worlds of this kind, and returns what was seen in them.
///
/// `CHANGEOVER_TEST_SEED` names one, `CHANGEOVER_TEST_SEEDS` their number.
fn worlds(world: World, count: u64) -> BTreeSet<&'static str> {
    let given = |name| Some(std::env::var(name).ok()?.parse::<u64>().unwrap());
    let count = given("CHANGEOVER_TEST_SEEDS").unwrap_or(count);
    let seeds = given("CHANGEOVER_TEST_SEED").map_or(0..count, |seed| seed..seed + 1);
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
        too_old: TooOld::Snapshot,
        forgets: false,
        lags: false,
    };
    let seen = worlds(world, 30);
    for expected in WAYS.iter().chain(&["push", "read"]) {
        assert!(seen.contains(expected), "never: {expected}");
    }
}

#[test]
fn who_is_too_far_behind_takes_the_state() {
    let world = World {
        too_old: TooOld::Snapshot,
        forgets: true,
        lags: true,
    };
    let seen = worlds(world, 30);
    for expected in WAYS.iter().chain(&["push", "read", "state"]) {
        assert!(seen.contains(expected), "never: {expected}");
    }
}

#[test]
fn without_state_it_begins_again_at_the_beginning() {
    let world = World {
        too_old: TooOld::NoState,
        forgets: false,
        lags: true,
    };
    worlds(world, 30);
}

#[test]
fn by_legacy_polls_as_well() {
    let world = World {
        too_old: TooOld::StateInPolls,
        forgets: true,
        lags: true,
    };
    let seen = worlds(world, 30);
    for expected in WAYS.iter().chain(&["push", "read", "state"]) {
        assert!(seen.contains(expected), "never: {expected}");
    }
}
