//! The clients of one module, as requests and connections show them to this replica.
//!
//! Invariants: of a client that is seen again as before nothing is allocated or written; who is one too many to be remembered is counted
//! by the sketches, in which everybody is.

use std::{
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    about::{About, Agents, own},
    seen::{Moment, Rules, Seen, Tenths},
    sketch::{key, nameless_key},
    slices::{PER_WINDOW, Slices},
    table::{Entry, Table},
};
use crate::{
    domain::{Client, ModuleName, Transport},
    store::{Ago, CLIENT_ID_BYTES, Crowd, Sighting},
};

/// What all modules share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) began: Instant,
    pub(super) rules: Rules,
    /// How old what others know of a client may become.
    pub(super) resolution: Tenths,
    pub(super) most: usize,
    pub(super) held: AtomicUsize,
    pub(super) agents: Agents,
    /// The slice of time that goes on.
    pub(super) slice: AtomicU32,
    /// Whether addresses are written.
    pub(super) addresses: bool,
    /// For keys that never leave this process.
    pub(super) hasher: foldhash::fast::RandomState,
}

impl Common {
    pub(super) fn moment(&self, now: Instant) -> Moment {
        let passed = now.saturating_duration_since(self.began).as_millis() / 100;
        Moment::at(u32::try_from(passed).unwrap_or(u32::MAX - 1) + 1)
    }

    pub(super) fn slice(&self) -> u32 {
        self.slice.load(Relaxed)
    }

    /// Changes with whatever is remembered of a client.
    fn about_key(&self, client: &Client<'_>) -> u32 {
        let own = own(client).map_or("", |own| own.as_str());
        let key = self.hasher.hash_one((client.agent, own, client.address));
        #[expect(clippy::cast_possible_truncation, reason = "half of a hash is one")]
        let half = key as u32;
        half
    }
}

/// The clients of one module.
#[derive(Debug)]
pub struct Clients {
    module: ModuleName,
    common: Arc<Common>,
    table: Table,
    /// Of everybody: those with an id by transport, and those without.
    sketches: [Slices; 3],
    /// The last slice in which somebody was not remembered; 0 = none was.
    uncounted: AtomicU32,
}

/// What is to be written of a client.
#[derive(Debug, Clone)]
pub(super) struct Noted {
    module: ModuleName,
    id: Box<str>,
    agent: Arc<str>,
    audience: Option<Box<str>>,
    address: Option<Box<str>>,
    seen: Seen,
}

impl Noted {
    /// As it is told now.
    pub(super) fn sighting(&self, now: Moment) -> Sighting {
        let ago = |moment: Moment| Ago::micros(moment.micros_before(now));
        let seen = &self.seen;
        let sometime = |moment: Moment| (moment > Moment::NEVER).then(|| ago(moment));
        Sighting {
            module: self.module.clone(),
            client_id: self.id.clone(),
            agent: (*self.agent).into(),
            audience: self.audience.clone(),
            address: self.address.clone(),
            first_seen: ago(seen.first),
            polled: sometime(seen.polled).map(|ago| (ago, seen.told)),
            pushed: sometime(seen.pushed).map(|at| (at, ago(seen.push_until))),
        }
    }
}

/// The id of those that name none, or one that cannot be written, and of those above the bound who poll: one client for all of them.
const NAMELESS: &str = "";

impl Clients {
    pub(super) fn new(module: ModuleName, common: Arc<Common>) -> Self {
        Self {
            module,
            common,
            table: Table::new(),
            sketches: Default::default(),
            uncounted: AtomicU32::new(0),
        }
    }

    /// A client polls, and is told this. `says_push`: it says that it is on push and only polls to be safe. Returns for how long its push has
    /// been healthy; `None` = it is not.
    pub fn polls(
        &self,
        client: &Client<'_>,
        told: Transport,
        says_push: bool,
        now: Instant,
    ) -> Option<Duration> {
        let rules = self.common.rules;
        let act = |seen: &mut Seen, now| seen.polls(told, says_push, rules, now);
        let healthy = self.see(client, now, act)??;
        Some(Duration::from_millis(u64::from(healthy) * 100))
    }

    /// A client reads, and says that it is on push.
    pub fn reads_on_push(&self, client: &Client<'_>, told: Transport, now: Instant) {
        let rules = self.common.rules;
        self.see(client, now, |seen, now| {
            seen.reads_on_push(told, rules, now);
        });
    }

    /// A client asks what it needs for push, and is told this.
    pub fn asks_session(&self, client: &Client<'_>, told: Transport, now: Instant) {
        let rules = self.common.rules;
        self.see(client, now, |seen, now| seen.asks_session(told, rules, now));
    }

    /// A client of this process's broker has subscribed to the module.
    pub(super) fn connects(&self, id: &str, now: Instant) {
        let rules = self.common.rules;
        self.see(&Client::named(id), now, |seen, now| {
            seen.connects(rules, now);
        });
    }

    pub(super) fn stays(&self, id: &str, now: Instant) {
        let rules = self.common.rules;
        self.see(&Client::named(id), now, |seen, now| seen.stays(rules, now));
    }

    pub(super) fn disconnects(&self, id: &str, now: Instant) {
        self.see(&Client::named(id), now, Seen::disconnects);
    }

    fn see<T>(
        &self,
        client: &Client<'_>,
        now: Instant,
        act: impl Fn(&mut Seen, Moment) -> T,
    ) -> Option<T> {
        let common = &*self.common;
        if common.most == 0 {
            return None;
        }
        let now = common.moment(now);
        if !can_be_named(client.id) {
            let nameless = Client {
                id: NAMELESS,
                ..*client
            };
            self.see_entry(&nameless, now, &act);
            self.see_nameless(client);
            return None;
        }
        let outcome = self.see_entry(client, now, &act);
        if outcome.is_none() && self.see_unremembered(client, now, &act) == Transport::Poll {
            // The row stays when the sketches of the window are gone: it says when somebody without one has polled.
            self.see_entry(&Client::named(NAMELESS), now, &act);
        }
        outcome
    }

    /// `None` = it is one too many to be remembered.
    fn see_entry<T>(
        &self,
        client: &Client<'_>,
        now: Moment,
        act: &impl Fn(&mut Seen, Moment) -> T,
    ) -> Option<T> {
        let common = &*self.common;
        let hash = self.table.hash(client.id);
        let shard = &mut *self.table.shard(hash);
        let (entry, is_new) = match shard.get(hash, client.id) {
            Some(_) => (shard.get(hash, client.id)?, false),
            None if self.is_admitted(client.id) => {
                let about = About::of(client, &common.agents);
                let entry = Entry::new(client.id, about, common.about_key(client), now);
                (shard.insert(hash, entry, &self.table), true)
            }
            None => return None,
        };
        let before = entry.seen.standing(now);
        let outcome = act(&mut entry.seen, now);
        let after = entry.seen.standing(now);
        self.sketch(after.transport, &mut entry.sketched, client.id);
        let is_told = is_new
            || before != after
            || now.since(entry.written) >= common.resolution
            || retold(entry, client, common);
        if is_told {
            shard.queue(hash, client.id);
        }
        Some(outcome)
    }

    /// There is always room for the one row of those who have none of their own.
    fn is_admitted(&self, id: &str) -> bool {
        if id == NAMELESS {
            self.common.held.fetch_add(1, Relaxed);
            return true;
        }
        let most = self.common.most;
        let more = |held| (held < most).then_some(held + 1);
        self.common
            .held
            .fetch_update(Relaxed, Relaxed, more)
            .is_ok()
    }

    /// Returns how it is seen.
    fn see_unremembered<T>(
        &self,
        client: &Client<'_>,
        now: Moment,
        act: &impl Fn(&mut Seen, Moment) -> T,
    ) -> Transport {
        let mut seen = Seen::new(now);
        act(&mut seen, now);
        let slice = self.miss();
        let transport = seen.standing(now).transport;
        self.slices_of(transport.into())
            .add(slice, || key(client.id));
        transport
    }

    /// Those without an id are told apart by where they call from, as far as that goes. Those with one are counted without them.
    fn see_nameless(&self, client: &Client<'_>) {
        let of = || nameless_key(client.address, client.agent);
        self.slices_of(Crowd::Unnamed).add(self.common.slice(), of);
    }

    const fn slices_of(&self, crowd: Crowd) -> &Slices {
        &self.sketches[crowd as usize]
    }

    /// Notes that somebody is not remembered, in the slice that goes on.
    fn miss(&self) -> u32 {
        let slice = self.common.slice();
        if self.uncounted.load(Relaxed) != slice {
            self.uncounted.store(slice, Relaxed);
        }
        slice
    }

    fn sketch(&self, transport: Transport, sketched: &mut [u32; 2], id: &str) {
        let slice = self.common.slice();
        let place = transport as usize;
        if sketched[place] != slice && id != NAMELESS {
            sketched[place] = slice;
            self.slices_of(transport.into()).add(slice, || key(id));
        }
    }

    /// The module.
    pub const fn module(&self) -> &ModuleName {
        &self.module
    }

    /// Shows all that are remembered and were seen since then.
    pub(super) fn each(&self, since: Moment, mut show: impl FnMut(&str, &About)) {
        for shard in self.table.shards() {
            let entries = shard.iter().filter(|entry| entry.seen.last() >= since);
            for entry in entries.filter(|entry| &*entry.id != NAMELESS) {
                show(&entry.id, &entry.about);
            }
        }
    }

    /// Whether a client is remembered.
    pub(super) fn remembers(&self, id: &str) -> bool {
        let hash = self.table.hash(id);
        self.table.shard(hash).get(hash, id).is_some()
    }

    /// Takes up to `most` that are to be written.
    pub(super) fn take(&self, most: usize, now: Moment, into: &mut Vec<Noted>) {
        for mut shard in self.table.shards() {
            let room = most.saturating_sub(into.len());
            shard.drain(room, &self.table, |entry| {
                entry.written = now;
                into.push(self.noted(entry));
            });
        }
    }

    fn noted(&self, entry: &Entry) -> Noted {
        let about = &entry.about;
        let address = about.address.filter(|_| self.common.addresses);
        Noted {
            module: self.module.clone(),
            id: entry.id.clone(),
            agent: Arc::clone(&about.agent),
            audience: about.audience(&entry.id).map(Into::into),
            address: address.map(|address| address.to_string().into()),
            seen: entry.seen,
        }
    }

    /// How many are to be written.
    pub(super) fn queued(&self) -> usize {
        self.table.shards().map(|shard| shard.queued()).sum()
    }

    /// Forgets those that were last seen before `since`.
    pub(super) fn forget(&self, since: Moment) {
        for mut shard in self.table.shards() {
            let gone = shard.forget(since, &self.table);
            self.common.held.fetch_sub(gone, Relaxed);
        }
    }

    /// Prepares a slice of time.
    pub(super) fn begin(&self, slice: u32) {
        for sketches in &self.sketches {
            sketches.begin(slice);
        }
    }

    /// The last slice of the window in which somebody with an id was not remembered.
    pub(super) fn uncounted(&self) -> Option<u32> {
        let uncounted = self.uncounted.load(Relaxed);
        let is_lately = self.common.slice().saturating_sub(uncounted) <= PER_WINDOW;
        (uncounted > 0 && is_lately).then_some(uncounted)
    }

    /// Everybody who was seen so within the window.
    #[cfg(test)]
    pub(super) fn sketched(&self, crowd: Crowd, into: &mut super::sketch::Union) {
        self.slices_of(crowd).union(self.common.slice(), into);
    }

    /// The sketches of a crowd by slice.
    pub(super) fn slices(&self, crowd: Crowd) -> Vec<(u32, Vec<u8>)> {
        let counted = self.slices_of(crowd).counted(self.common.slice());
        counted
            .map(|(number, sketch)| (number, sketch.registers().collect()))
            .collect()
    }
}

/// Remembers what a client says of itself, if it is something else than before. Whether others should hear of it.
fn retold(entry: &mut Entry, client: &Client<'_>, common: &Common) -> bool {
    // A connection says nothing of what is behind it, and those without a name each something else.
    let is_mute = client.audiences.is_empty() && client.agent.is_empty();
    if (is_mute && client.address.is_none()) || client.id == NAMELESS {
        return false;
    }
    let key = common.about_key(client);
    if entry.about_key == key {
        return false;
    }
    let about = About::of(client, &common.agents);
    entry.about_key = key;
    let before = std::mem::replace(&mut entry.about, about);
    common.addresses || before.agent != entry.about.agent || before.audience != entry.about.audience
}

fn can_be_named(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= CLIENT_ID_BYTES
        && !id.bytes().any(|byte| byte < b' ' || byte == 0x7f)
}
