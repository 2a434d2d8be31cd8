//! Brokers that keep sessions, or not, and lose, double and delay what they deliver.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Happens, Simulation, gateway::pick};
use crate::{
    client::{Action, Connection, Event, LinkId, Message},
    domain::ModuleName,
};

/// The client's connections, and what brokers keep while there is none.
#[derive(Default)]
pub(super) struct Brokers {
    links: BTreeMap<LinkId, Link>,
    /// By target.
    sessions: BTreeMap<String, Session>,
}

struct Link {
    target: String,
    is_open: bool,
}

/// What a broker knows of the client, connected or not.
#[derive(Default)]
struct Session {
    modules: BTreeSet<ModuleName>,
    messages: Vec<Message>,
}

impl Simulation {
    pub(super) fn connect(&mut self, id: LinkId, connection: &Connection) {
        let target = connection.target.clone();
        let mut links = self.brokers.links.values();
        assert!(links.all(|link| link.target != target), "two connections");
        let link = Link {
            target,
            is_open: false,
        };
        self.brokers.links.insert(id, link);
        let answer = Action::Connect {
            link: id,
            connection: connection.clone(),
        };
        self.after(200, Happens::Answer(answer));
    }

    /// The client takes leave; its session stays.
    pub(super) fn disconnect(&mut self, id: LinkId) {
        assert!(self.brokers.links.remove(&id).is_some(), "it was there");
        for store in self.stores.values_mut() {
            store.stood_at = None;
        }
        self.lose_what_is_under_way(id);
    }

    pub(super) fn connected(&mut self, id: LinkId, fails: bool) {
        let Some(link) = self.brokers.links.get_mut(&id) else {
            return;
        };
        if fails {
            self.brokers.links.remove(&id);
            return self.tell(Event::Disconnected { link: id });
        }
        link.is_open = true;
        let target = link.target.clone();
        let session_present = self.brokers.sessions.contains_key(&target);
        let session = self.brokers.sessions.entry(target).or_default();
        let kept = std::mem::take(&mut session.messages);
        self.tell(Event::Connected {
            link: id,
            session_present,
        });
        for message in &kept {
            self.deliver(id, message);
        }
    }

    pub(super) fn subscribed(&mut self, id: LinkId, module: &ModuleName) {
        let granted = !self.happens(0.05);
        let Some(link) = self.brokers.links.get(&id).filter(|link| link.is_open) else {
            return;
        };
        let session = self.brokers.sessions.entry(link.target.clone());
        if granted && session.or_default().modules.insert(module.clone()) {
            let end = self.gateways[module].cursor();
            self.stores.get_mut(module).unwrap().stood_at = Some(end);
        }
        self.tell(Event::Subscribed {
            link: id,
            module: module.clone(),
            granted,
        });
        if granted {
            let bookmark = self.gateways[module].bookmark();
            self.deliver(id, &bookmark);
        }
    }

    pub(super) fn unsubscribe(&mut self, id: LinkId, topics: &[String]) {
        let target = &self.brokers.links[&id].target;
        let session = self.brokers.sessions.get_mut(target).unwrap();
        session.modules.remove(topics[0].as_str());
    }

    /// Whether what is published of the module comes.
    pub(super) fn is_subscribed(&self, module: &str) -> bool {
        let mut open = self.brokers.links.values().filter(|link| link.is_open);
        open.any(|link| self.brokers.sessions[&link.target].modules.contains(module))
    }

    /// A message goes to all brokers: the mirror feeds each.
    pub(super) fn publish(&mut self, module: &ModuleName, message: &Message) {
        let mut open = BTreeMap::new();
        for (id, link) in &self.brokers.links {
            if link.is_open {
                open.insert(link.target.clone(), *id);
            }
        }
        let mut deliveries = Vec::new();
        for (target, session) in &mut self.brokers.sessions {
            if session.modules.contains(module) {
                match open.get(target) {
                    Some(id) => deliveries.push(*id),
                    None => session.messages.push(message.clone()),
                }
            }
        }
        for id in deliveries {
            self.deliver(id, message);
        }
    }

    /// A message comes over the connection, or not, or twice, or late.
    fn deliver(&mut self, link: LinkId, message: &Message) {
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
            self.at(at, Happens::Event(Event::Message { link, message }));
        }
    }

    /// A connection breaks, with or without the session.
    pub(super) fn cut(&mut self, is_kept: bool) {
        let links = self.brokers.links.iter().filter(|(_, link)| link.is_open);
        let open: Vec<_> = links.map(|(id, _)| *id).collect();
        if open.is_empty() {
            return;
        }
        let id = open[pick(&mut self.chance, open.len())];
        let link = self.brokers.links.remove(&id).unwrap();
        if !is_kept {
            self.brokers.sessions.remove(&link.target);
        }
        for store in self.stores.values_mut() {
            store.stood_at = None;
        }
        self.lose_what_is_under_way(id);
        self.tell(Event::Disconnected { link: id });
    }

    fn lose_what_is_under_way(&mut self, id: LinkId) {
        self.agenda.retain(
            |_, what| !matches!(what, Happens::Event(Event::Message { link, .. }) if *link == id),
        );
    }
}
