//! Who may do what on a broker: clients read exactly what their passes name, the gateway has everything below its prefix, nobody else
//! anything.
//!
//! Invariants: a filter is granted only if it is, letter for letter, a topic that the session of its client could name: so no wildcard
//! reaches over audiences, and a shared subscription (`$share/…`) is judged by the filter within it; clients publish nothing. All of
//! it is answered from memory.

mod hooks;
mod logins;

use std::{collections::BTreeMap, sync::Arc};

pub use hooks::{Doing, Hooks, LoggedIn, Verdict};
pub use logins::{GatewayUser, Logins};

use super::{Desk, message::topic::Topics, session::topics_of};
use crate::{
    config::{Config, mqtt::Target},
    domain::{Audience, ModuleName},
    identity::{
        Identity,
        passes::{Denied, Doorkeeper, Entered, Issued, Pass, Passes},
    },
};

/// What may be done on the brokers of some targets.
pub struct Access {
    passes: Arc<Passes>,
    places: Vec<Place>,
}

/// What is on one target.
struct Place {
    topics: Topics,
    /// With the slash behind it.
    below: Box<str>,
    modules: Vec<ModuleName>,
}

/// What a shared subscription begins with, before the name of its group.
const SHARED: &str = "$share/";

impl Access {
    /// The targets of which `is_meant` is true.
    pub fn new(config: &Config, passes: Arc<Passes>, is_meant: impl Fn(&Target) -> bool) -> Self {
        let modules: Vec<_> = config.modules_by_name().into_keys().collect();
        let place = |target: Target| {
            let prefix = target.effective_prefix(&config.mqtt);
            let taken = modules.iter().filter(|module| target.takes(module));
            Place {
                topics: Topics::within(prefix, target.broker_limits().topic_bytes),
                below: format!("{}/", prefix.trim_end_matches('/')).into(),
                modules: taken.cloned().collect(),
            }
        };
        let targets = config.mqtt.effective_targets().into_iter();
        let places = targets.filter(|target| is_meant(target)).map(place);
        Self {
            passes,
            places: places.collect(),
        }
    }

    /// What may be read under a name that the broker has let in.
    pub fn named(&self, username: &str) -> Result<Pass, Denied> {
        self.passes.named(username)
    }

    /// All topics that a client may subscribe to; none if they are more than `most`.
    pub fn topics_of(&self, pass: &Pass, most: usize) -> Option<Vec<String>> {
        let each = pass.audiences().len() + 2;
        let modules = self.places.iter().map(|place| place.modules.len());
        if modules.sum::<usize>().saturating_mul(each) > most {
            return None;
        }
        let mut all = Vec::new();
        for place in &self.places {
            let modules = place.modules.iter();
            let taken = modules.filter(|module| self.passes.takes(pass, module));
            all.extend(taken.flat_map(|module| topics_of(&place.topics, module, pass.audiences())));
        }
        all.sort_unstable();
        all.dedup();
        Some(all)
    }

    /// Whether a topic or a filter lies below the first part of a target's topics: there the gateway may do everything.
    pub fn is_ours(&self, filter: &str) -> bool {
        let mut places = self.places.iter();
        places.any(|place| filter.starts_with(&*place.below))
    }

    fn prefixes(&self) -> Vec<String> {
        let below = self.places.iter().map(|place| format!("{}#", place.below));
        let mut below: Vec<_> = below.collect();
        below.sort_unstable();
        below.dedup();
        below
    }

    fn is_topic_of(&self, place: &Place, pass: &Pass, topic: &str) -> bool {
        let Some(module) = place.module_of(topic) else {
            return false;
        };
        if !self.passes.takes(pass, module) {
            return false;
        }
        let everyone = Audience::everyone();
        let mut own = std::iter::once(&everyone).chain(pass.audiences());
        topic == place.topics.bookmark(module)
            || own.any(|audience| topic == place.topics.channel(module, audience))
    }
}

impl Doorkeeper for Access {
    fn enter(&self, client_id: &str, username: &str, password: &[u8]) -> Result<Entered, Denied> {
        self.passes.enter(client_id, username, password)
    }

    fn may_subscribe(&self, pass: &Pass, filter: &str) -> bool {
        let Some(topic) = unshared(filter) else {
            return false;
        };
        let mut places = self.places.iter();
        places.any(|place| self.is_topic_of(place, pass, topic))
    }
}

impl Place {
    fn module_of(&self, topic: &str) -> Option<&ModuleName> {
        let (_kind, rest) = topic.strip_prefix(&*self.below)?.split_once('/')?;
        let name = rest.split('/').next()?;
        self.modules.iter().find(|module| module.as_str() == name)
    }
}

/// The filter within a shared subscription; any other is its own. None if it is a broken one: the name of its group is no wildcard (MQTT 5, section 4.8.2).
fn unshared(filter: &str) -> Option<&str> {
    let Some(shared) = filter.strip_prefix(SHARED) else {
        return Some(filter);
    };
    let (group, filter) = shared.split_once('/')?;
    let is_name = !group.is_empty() && !group.contains(['+', '#']);
    is_name.then_some(filter)
}

/// Where sessions get the user name and the password of a client.
#[derive(Clone)]
pub struct Credentials {
    is_open: bool,
    passes: Option<Arc<Passes>>,
    logins: Arc<Logins>,
    desks: Arc<BTreeMap<String, Arc<Desk>>>,
}

impl Credentials {
    /// Signed ones by `passes`, if some target takes such, those of the configuration by `logins`, and those that are made on the broker by the `desks` of
    /// the targets.
    pub fn new(
        identity: &Identity,
        passes: Option<Arc<Passes>>,
        logins: Arc<Logins>,
        desks: Arc<BTreeMap<String, Arc<Desk>>>,
    ) -> Self {
        Self {
            is_open: identity.is_open(),
            passes,
            logins,
            desks,
        }
    }

    pub(super) fn desk(&self, target: &str) -> Option<&Arc<Desk>> {
        self.desks.get(target)
    }

    pub(super) const fn is_open(&self) -> bool {
        self.is_open
    }

    pub(super) const fn passes(&self) -> Option<&Arc<Passes>> {
        self.passes.as_ref()
    }

    pub(super) fn configured(&self, target: &str) -> Option<Issued> {
        self.logins.of_clients(target)
    }
}

#[cfg(test)]
mod tests;
