//! What a client that is ready for push needs at start: which module comes how, where to connect, what to subscribe to.
//!
//! Invariants: a session is answered from memory, unless its client has to be made on a broker first; it does not depend on the stage: topics and target are told of polled modules
//! too, so that a flip needs no second question. Nobody is told a target that nothing is sent to.
//!
//! `asked.rs` is the question, `answer.rs` what is told; `entering.rs` is with what a client enters, `not_made.rs` what is told where it cannot, `times.rs` when it comes
//! again.

mod addresses;
mod answer;
mod asked;
mod client_id;
mod entering;
mod not_made;
#[cfg(any(test, fuzzing))]
pub(super) mod strangers;
mod times;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    addresses::Address,
    times::{from_now_ms, spread},
};
pub use self::{
    answer::{Connection, ModuleSession, Session},
    asked::AskedSession,
};
use super::{Bound, Credentials, Directions, event::rfc3339, topic::Topics};
use crate::{
    config::{self, Config, credentials, profile::BrokerLimits},
    cutover::Census,
    domain::{Audience, Clock, ModuleName},
};

/// Where sessions are opened.
pub struct Sessions {
    settings: config::session::Session,
    directions: Directions,
    census: Arc<Census>,
    clock: Arc<dyn Clock>,
    targets: BTreeMap<String, Target>,
    modules: BTreeMap<ModuleName, Module>,
    credentials: Credentials,
}

struct Target {
    address: Address,
    topics: Topics,
    limits: BrokerLimits,
    protocol: &'static str,
    /// What every client id begins with.
    group: String,
    /// With what clients enter.
    credentials: credentials::Credentials,
}

#[derive(Debug, Clone, Copy)]
struct Module {
    next_poll_ms: Option<u64>,
    /// No audience but everyone is known to it.
    is_for_everyone: bool,
}

impl Sessions {
    /// Sessions on the configured targets.
    pub fn new(
        config: &Config,
        bound: Bound,
        directions: Directions,
        census: Arc<Census>,
        clock: Arc<dyn Clock>,
        credentials: Credentials,
    ) -> Self {
        let is_open = credentials.is_open();
        let targets = config.mqtt.effective_targets().into_iter();
        let target = |target: config::mqtt::Target| {
            let limits = target.broker_limits();
            let prefix = target.effective_prefix(&config.mqtt);
            let made = Target {
                address: Address::of(&target, bound),
                topics: Topics::within(prefix, limits.topic_bytes),
                protocol: target.protocol.as_str(),
                credentials: config.credentials(&target, is_open),
                group: client_id::group(&config.mqtt.client_id_prefix, limits.client_id_holds),
                limits,
            };
            (target.name, made)
        };
        let module = |(name, module): (ModuleName, &config::modules::Module)| {
            let settings = Module {
                next_poll_ms: config.shortest_poll_ms(module),
                is_for_everyone: config.is_for_everyone(module),
            };
            (name, settings)
        };
        Self {
            settings: config.session.clone(),
            directions,
            census,
            clock,
            targets: targets.map(target).collect(),
            modules: config.modules_by_name().into_iter().map(module).collect(),
            credentials,
        }
    }

    /// The configured modules.
    pub fn modules(&self) -> impl Iterator<Item = &ModuleName> {
        self.modules.keys()
    }

    /// A configured module by its name.
    pub fn module(&self, name: &str) -> Option<&ModuleName> {
        self.modules.keys().find(|module| module.as_str() == name)
    }

    /// Answers a client, and notes that it was here. It waits, for a bounded time, only where a client is to be made on a broker.
    pub async fn open(&self, asked: &AskedSession) -> Session {
        let wanted = |module: &ModuleName| {
            let named = asked.modules.as_ref();
            named.is_none_or(|named| named.contains(module))
        };
        let modules = self.modules.iter().filter(|(module, _)| wanted(module));
        let mut modules: BTreeMap<_, _> = modules
            .map(|(name, module)| (name.to_string(), self.module_session(name, *module, asked)))
            .collect();
        let (most, names) = self.targets_of(&modules, asked);
        let mut targets = BTreeMap::new();
        for name in names {
            if let Some(connection) = self.connection(&name, asked).await {
                if !self.is_made(&connection) {
                    not_made::poll_instead(&mut modules, &name, asked.chance);
                }
                targets.insert(name, connection);
            }
        }
        self.note(&modules, asked);
        let lifetime_ms = self.lifetime_ms(&asked.who);
        let lifetime = Duration::from_millis(lifetime_ms);
        let expires_at = self.clock.now().plus(lifetime);
        Session {
            client_id: asked.client_id.clone(),
            expires_at: rfc3339(expires_at),
            next_session_ms: self.next_session_ms(lifetime_ms, &modules, asked.chance),
            resync_ms: spread(self.settings.resync_ms, asked.chance),
            mqtt: most.and_then(|name| targets.get(&name).cloned()),
            targets,
            modules,
        }
    }

    /// The target of most of the modules, and all of them.
    fn targets_of(
        &self,
        modules: &BTreeMap<String, ModuleSession>,
        asked: &AskedSession,
    ) -> (Option<String>, BTreeSet<String>) {
        let mut uses = BTreeMap::<&String, usize>::new();
        for target in modules.values().filter_map(|module| module.target.as_ref()) {
            *uses.entry(target).or_default() += 1;
        }
        let most = uses.iter().max_by_key(|(_, count)| **count);
        let most = most.map(|(target, _)| (*target).clone());
        // Even a client without modules is told where it would go.
        let most = most.or_else(|| self.any_target(&asked.client_id));
        let names = uses.keys().copied().chain(&most).cloned().collect();
        (most, names)
    }

    /// Who was told what.
    fn note(&self, modules: &BTreeMap<String, ModuleSession>, asked: &AskedSession) {
        for name in self.modules.keys() {
            let told = modules.get(name.as_str());
            if let Some((told, clients)) = told.zip(self.census.clients(name)) {
                clients.asks_session(&asked.client(), told.transport, Instant::now());
            }
        }
    }

    fn module_session(
        &self,
        name: &ModuleName,
        module: Module,
        asked: &AskedSession,
    ) -> ModuleSession {
        let target = self.directions.target(name, &asked.client_id);
        let version = self.directions.version(name, target);
        let advice = self.directions.of(name, &asked.client());
        let target = advice.target.map(str::to_owned);
        let returns = advice.evaluation.returns;
        let wait = returns.map_or(0, |back| back.wait_ms(self.clock.now(), || asked.chance));
        let own = if module.is_for_everyone {
            &[]
        } else {
            &*asked.audiences
        };
        let topics = target.as_ref().and_then(|name| self.targets.get(name));
        let topics = topics.map(|target| topics_of(&target.topics, name, own));
        ModuleSession {
            transport: advice.evaluation.transport,
            reason: advice.evaluation.reason,
            version,
            topics: topics.unwrap_or_default(),
            target,
            next_poll_ms: module.next_poll_ms.map(|interval| interval + wait),
            returns: wait > 0,
            holds_ms: advice.until.map(from_now_ms),
        }
    }

    fn any_target(&self, client_id: &str) -> Option<String> {
        let mut modules = self.modules.keys();
        let target = modules.find_map(|module| self.directions.target(module, client_id));
        target.map(str::to_owned)
    }
}

/// The retained message and the channels.
pub(super) fn topics_of(topics: &Topics, module: &ModuleName, own: &[Audience]) -> Vec<String> {
    let everyone = Audience::everyone();
    let own = own.iter().filter(|own| !own.is_everyone());
    let channels = std::iter::once(&everyone).chain(own);
    let channels = channels.map(|audience| topics.channel(module, audience));
    // One that the broker cannot have is not told: nothing will ever be published there.
    let channels = channels.filter(|topic| topics.can_be(topic));
    [topics.bookmark(module)]
        .into_iter()
        .chain(channels)
        .collect()
}
