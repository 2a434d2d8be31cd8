//! Who waits for news of which channel.
//!
//! Invariants: a bell is rung after its news can be read, so who hangs it up before looking misses
//! nothing; a change wakes those of its channel and nobody else; a bell rung before anybody
//! listens is heard all the same.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{Counter, Gauge};
use tokio::sync::Notify;

use crate::{
    domain::{Audience, ModuleName},
    telemetry::metric,
};

/// The bells of all modules.
#[derive(Debug)]
pub(super) struct Bells {
    rooms: HashMap<ModuleName, Room>,
    next: AtomicU64,
}

/// The bells of one module, by channel. One that listens to several channels hangs in each.
#[derive(Debug)]
struct Room {
    hung: Mutex<BTreeMap<(Audience, u64), Arc<Notify>>>,
    waiting: Gauge,
    woken: Counter,
}

/// A bell that hangs in some channels. Dropped, it is taken down.
#[derive(Debug)]
pub(super) struct Bell<'a> {
    number: u64,
    sound: Arc<Notify>,
    hung: Vec<Hung<'a>>,
}

#[derive(Debug)]
struct Hung<'a> {
    room: &'a Room,
    audiences: Box<[Audience]>,
}

impl Bells {
    pub(super) fn new(modules: &[ModuleName]) -> Self {
        let rooms = modules.iter().map(|m| (m.clone(), Room::new(m)));
        Self {
            rooms: rooms.collect(),
            next: AtomicU64::new(0),
        }
    }

    /// Hangs up a bell in these channels; those of modules that are not followed stay silent.
    pub(super) fn hang(&self, channels: &[(&ModuleName, &[Audience])]) -> Bell<'_> {
        let mut bell = Bell {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            sound: Arc::default(),
            hung: Vec::with_capacity(channels.len()),
        };
        for (module, audiences) in channels {
            if let Some(room) = self.rooms.get(*module) {
                bell.hang_in(room, audiences);
            }
        }
        bell
    }

    /// Rings once for each who listens to one of these audiences.
    pub(super) fn ring<'a>(
        &self,
        module: &ModuleName,
        audiences: impl Iterator<Item = &'a Audience>,
    ) {
        if let Some(room) = self.rooms.get(module) {
            room.ring(audiences);
        }
    }

    /// Rings for all who listen to a module.
    pub(super) fn ring_all(&self, module: &ModuleName) {
        if let Some(room) = self.rooms.get(module) {
            room.ring_all();
        }
    }
}

impl Room {
    fn new(module: &ModuleName) -> Self {
        let module = module.as_str().to_owned();
        Self {
            hung: Mutex::default(),
            waiting: metrics::gauge!(metric::WAITING_POLLS, "module" => module.clone()),
            woken: metrics::counter!(metric::WAITS_WOKEN, "module" => module),
        }
    }

    fn ring<'a>(&self, audiences: impl Iterator<Item = &'a Audience>) {
        let hung = self.lock();
        if hung.is_empty() {
            return;
        }
        // A batch often holds many changes of one channel.
        let audiences: BTreeSet<_> = audiences.collect();
        let of = |audience: &Audience| (audience.clone(), 0)..=(audience.clone(), u64::MAX);
        let bells = audiences.into_iter().flat_map(|a| hung.range(of(a)));
        let bells = by_number(bells);
        drop(hung);
        self.sound(&bells);
    }

    fn ring_all(&self) {
        let bells = by_number(self.lock().iter());
        self.sound(&bells);
    }

    /// Outside of the lock: who wakes up takes its bell down.
    fn sound(&self, bells: &BTreeMap<u64, Arc<Notify>>) {
        self.woken
            .increment(u64::try_from(bells.len()).unwrap_or(u64::MAX));
        for bell in bells.values() {
            bell.notify_one();
        }
    }

    // Between two statements the map is whole, so a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Audience, u64), Arc<Notify>>> {
        self.hung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each bell once, also if it hangs in several channels that have news.
fn by_number<'a>(
    bells: impl Iterator<Item = (&'a (Audience, u64), &'a Arc<Notify>)>,
) -> BTreeMap<u64, Arc<Notify>> {
    bells
        .map(|((_, number), bell)| (*number, Arc::clone(bell)))
        .collect()
}

impl<'a> Bell<'a> {
    fn hang_in(&mut self, room: &'a Room, audiences: &[Audience]) {
        let mut hung = room.lock();
        for audience in audiences {
            hung.insert((audience.clone(), self.number), Arc::clone(&self.sound));
        }
        drop(hung);
        room.waiting.increment(1.0);
        self.hung.push(Hung {
            room,
            audiences: audiences.into(),
        });
    }

    /// Returns once it was rung since the last call.
    pub(super) async fn rung(&self) {
        self.sound.notified().await;
    }
}

impl Drop for Bell<'_> {
    fn drop(&mut self) {
        for Hung { room, audiences } in &self.hung {
            let mut hung = room.lock();
            for audience in audiences {
                hung.remove(&(audience.clone(), self.number));
            }
            drop(hung);
            room.waiting.decrement(1.0);
        }
    }
}
