//! Who is connected to this process's broker, and subscribed to which modules.
//!
//! Invariants: a client is on push for a module as long as a connection of it lives whose session has a subscription to a channel of the module;
//! what is remembered is bounded by the sessions that the broker admits.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::clients::Clients;

/// The sessions of one broker.
#[derive(Debug)]
pub struct Presence {
    channels: Vec<Channels>,
    sessions: Mutex<HashMap<Box<str>, Session>>,
    /// MQTT client ids that do not show whose they are.
    aliases: Aliases,
}

/// The clients of a module, and the levels of the topics of its channels before the audience.
#[derive(Debug)]
struct Channels {
    clients: Arc<Clients>,
    levels: Vec<Box<str>>,
}

#[derive(Debug, Default)]
struct Session {
    client: Box<str>,
    /// Its filters, of channels only.
    filters: BTreeSet<Box<str>>,
    /// The modules that they reach.
    modules: BTreeSet<usize>,
    /// A connection that takes over is there before the other one is gone.
    connections: u32,
    /// How long the broker keeps it after a connection.
    kept: Duration,
    /// Until when it does, while the client is away.
    kept_until: Option<Instant>,
}

/// Which client has which MQTT client id.
#[derive(Debug)]
pub struct Aliases(Mutex<lru::LruCache<Box<str>, Box<str>>>);

impl Aliases {
    pub(super) fn of(most: usize) -> Self {
        let most = std::num::NonZeroUsize::new(most).unwrap_or(std::num::NonZeroUsize::MIN);
        Self(Mutex::new(lru::LruCache::new(most)))
    }

    /// Remembers whose an MQTT client id is.
    pub fn note(&self, mqtt_id: &str, client_id: &str) {
        if plain(mqtt_id) != client_id {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.put(mqtt_id.into(), client_id.into());
        }
    }

    /// Whose an MQTT client id is: as a session on this replica said, or else as the id itself shows.
    fn client(&self, mqtt_id: &str) -> Box<str> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = known.get(mqtt_id).cloned();
        noted.unwrap_or_else(|| plain(mqtt_id).into())
    }
}

/// Characters of the caller in an id that a session has given.
const CALLER: usize = 12;

/// The client in an MQTT client id as sessions give them, `{caller}-{client}`; any other one is a client's own.
fn plain(mqtt_id: &str) -> &str {
    let is_caller = |text: &str| {
        text.len() == CALLER
            && text
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
    };
    match mqtt_id.split_once('-') {
        Some((caller, client)) if is_caller(caller) && !client.is_empty() => client,
        _ => mqtt_id,
    }
}

impl Presence {
    /// Nobody yet. `topic` says the topic of a module's channels without the audience.
    pub(super) fn new(
        clients: impl Iterator<Item = Arc<Clients>>,
        topic: impl Fn(&crate::domain::ModuleName) -> String,
        aliases: usize,
    ) -> Self {
        let channels = clients.map(|clients| {
            let levels = topic(clients.module());
            let levels = levels.split('/').map(Into::into).collect();
            Channels { clients, levels }
        });
        Self {
            channels: channels.collect(),
            sessions: Mutex::default(),
            aliases: Aliases::of(aliases),
        }
    }

    /// Where it is noted whose MQTT client ids are.
    pub const fn aliases(&self) -> &Aliases {
        &self.aliases
    }

    /// A connection begins. With `clean` the session before is gone; the broker keeps this one for `kept` after it.
    pub fn connects(&self, mqtt_id: &str, clean: bool, kept: Duration, now: Instant) {
        let mut sessions = self.lock();
        let session = sessions.entry(mqtt_id.into()).or_default();
        let client = self.aliases.client(mqtt_id);
        if client != session.client {
            // It was somebody else's so far, as far as was known: under the name that came, it goes.
            self.leave(session, now);
            session.client = client;
        }
        let is_kept =
            session.connections > 0 || session.kept_until.is_some_and(|until| now < until);
        if clean || !is_kept {
            self.leave(session, now);
            session.filters.clear();
        }
        session.connections += 1;
        session.kept = kept;
        session.kept_until = None;
        self.settle(session, now);
    }

    /// Filters were granted.
    pub fn subscribes<'f>(
        &self,
        mqtt_id: &str,
        filters: impl Iterator<Item = &'f str>,
        now: Instant,
    ) {
        self.change(mqtt_id, now, |session| {
            let wanted = filters.filter(|filter| self.modules(filter).next().is_some());
            session.filters.extend(wanted.map(Into::into));
        });
    }

    /// Filters were taken back.
    pub fn unsubscribes<'f>(
        &self,
        mqtt_id: &str,
        filters: impl Iterator<Item = &'f str>,
        now: Instant,
    ) {
        self.change(mqtt_id, now, |session| {
            for filter in filters {
                session.filters.remove(filter);
            }
        });
    }

    /// A connection ends.
    pub fn disconnects(&self, mqtt_id: &str, now: Instant) {
        let mut sessions = self.lock();
        let Some(session) = sessions.get_mut(mqtt_id) else {
            return;
        };
        session.connections = session.connections.saturating_sub(1);
        if session.connections > 0 {
            return;
        }
        self.leave(session, now);
        if session.kept.is_zero() {
            sessions.remove(mqtt_id);
        } else {
            session.kept_until = now.checked_add(session.kept);
        }
    }

    /// Everybody is gone: the broker has ended.
    pub fn ends(&self, now: Instant) {
        let mut sessions = self.lock();
        for session in sessions.values_mut() {
            self.leave(session, now);
        }
        sessions.clear();
    }

    /// Those who are connected still are; those whose sessions have ended are forgotten.
    pub(super) fn renew(&self, now: Instant) {
        let mut sessions = self.lock();
        sessions.retain(|_, session| {
            session.connections > 0 || session.kept_until.is_some_and(|until| now < until)
        });
        for session in sessions.values() {
            for module in &session.modules {
                self.channels[*module].clients.stays(&session.client, now);
            }
        }
    }

    fn change(&self, mqtt_id: &str, now: Instant, change: impl FnOnce(&mut Session)) {
        let mut sessions = self.lock();
        if let Some(session) = sessions.get_mut(mqtt_id) {
            change(session);
            self.settle(session, now);
        }
    }

    /// Tells the modules that are new, and those that are no more.
    fn settle(&self, session: &mut Session, now: Instant) {
        let reached: BTreeSet<_> = session
            .filters
            .iter()
            .flat_map(|filter| self.modules(filter))
            .collect();
        for new in reached.difference(&session.modules) {
            self.channels[*new].clients.connects(&session.client, now);
        }
        for old in session.modules.difference(&reached) {
            self.channels[*old]
                .clients
                .disconnects(&session.client, now);
        }
        session.modules = reached;
    }

    fn leave(&self, session: &mut Session, now: Instant) {
        for module in std::mem::take(&mut session.modules) {
            self.channels[module]
                .clients
                .disconnects(&session.client, now);
        }
    }

    /// The modules of which a filter reaches a channel.
    fn modules<'a>(&'a self, filter: &'a str) -> impl Iterator<Item = usize> + 'a {
        let channels = self.channels.iter().enumerate();
        let reached = channels.filter(|(_, channels)| reaches(filter, &channels.levels));
        reached.map(|(place, _)| place)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a filter reaches a topic of one level more than these.
fn reaches(filter: &str, levels: &[Box<str>]) -> bool {
    let mut parts = filter.split('/');
    for level in levels {
        match parts.next() {
            Some("#") => return true,
            Some("+") => {}
            Some(part) if *part == **level => {}
            _ => return false,
        }
    }
    match parts.next() {
        Some("#") => true,
        Some(_audience) => matches!(parts.next(), None | Some("#")),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_reaches_the_channels_below_it() {
        let levels: Vec<Box<str>> = ["co", "c", "orders"].map(Into::into).to_vec();
        for (filter, reached) in [
            ("co/c/orders/_all", true),
            ("co/c/orders/u1", true),
            ("co/c/orders/+", true),
            ("co/c/orders/#", true),
            ("co/c/+/_all", true),
            ("+/c/+/+", true),
            ("#", true),
            ("co/#", true),
            ("co/c/orders/u1/#", true),
            ("co/c/orders", false),
            ("co/c/prices/_all", false),
            ("co/m/orders", false),
            ("co/c/orders/u1/x", false),
            ("c/orders/_all", false),
            ("", false),
        ] {
            assert_eq!(reaches(filter, &levels), reached, "{filter}");
        }
    }

    #[test]
    fn an_id_of_a_session_shows_its_client() {
        for (mqtt_id, client) in [
            ("abcdefghijk2-terminal-0001", "terminal-0001"),
            ("terminal-0001", "terminal-0001"),
            ("abcdefghijk2-", "abcdefghijk2-"),
            ("ABCDEFGHIJK2-t", "ABCDEFGHIJK2-t"),
        ] {
            assert_eq!(plain(mqtt_id), client);
        }
        let aliases = Aliases::of(1);
        aliases.note("abcdefghijk2-t", "t");
        aliases.note("qrstuv", "\u{fc}");
        assert_eq!(&*aliases.client("qrstuv"), "\u{fc}");
        aliases.note("other", "x");
        assert_eq!(&*aliases.client("qrstuv"), "qrstuv", "the latest only");
    }
}
