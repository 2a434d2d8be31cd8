//! What a client that is ready for push needs at start: which module comes how, where to connect, what to subscribe to.
//!
//! Invariants: a session is answered from memory, unless its client has to be made on a broker first; it does not depend on the stage: topics and target are told of polled modules
//! too, so that a flip needs no second question. Nobody is told a target that nothing is sent to.

mod addresses;
mod client_id;
mod not_made;
#[cfg(any(test, fuzzing))]
pub(super) mod strangers;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use utoipa::ToSchema;

use self::addresses::Address;
use super::{Bound, Credentials, Directions, event::rfc3339, topic::Topics};
use crate::{
    config::{self, Config, credentials, profile::BrokerLimits},
    cutover::Census,
    domain::{Audience, Client, Clock, ModuleName, Transport},
    identity::{Who, passes::Issued},
};

/// Who asks, and for what. What is here was checked.
#[derive(Debug, Clone)]
pub struct AskedSession {
    /// The client.
    pub client_id: String,
    /// Whose client it is.
    pub who: Who,
    /// Whose changes it may read, besides everyone's: sorted.
    pub audiences: Arc<[Audience]>,
    /// Its program and version; empty if it says nothing.
    pub agent: String,
    /// Where it calls from.
    pub address: Option<IpAddr>,
    /// The modules that it wants; `None` = all.
    pub modules: Option<Vec<ModuleName>>,
    /// Spreads what clients do later: from 0 up to 1.
    pub chance: f64,
}

impl AskedSession {
    /// What is known of the client that asks.
    pub fn client(&self) -> Client<'_> {
        Client {
            id: &self.client_id,
            audiences: &self.audiences,
            agent: self.agent.as_bytes(),
            address: self.address,
        }
    }
}

/// The answer to a client that is ready for push.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Session {
    client_id: String,
    /// Until when the answer may be used.
    #[schema(format = DateTime)]
    expires_at: String,
    /// When to ask again; earlier if the `version` in a module's retained message is a new one.
    next_session_ms: u64,
    /// How often to read from the cursor although nothing seems to be missing.
    resync_ms: u64,
    /// The target of most of the modules. Null while there is none.
    mqtt: Option<Connection>,
    /// The targets of the modules, by name.
    targets: BTreeMap<String, Connection>,
    modules: BTreeMap<String, ModuleSession>,
}

/// How to connect to a target.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = SessionTarget)]
pub struct Connection {
    target: String,
    /// MQTT over TCP or TLS.
    url: Option<String>,
    /// MQTT over WebSocket; null = none.
    websocket_url: Option<String>,
    /// The newest version that it speaks.
    #[schema(pattern = "^(5|3\\.1\\.1)$")]
    protocol: &'static str,
    /// With which to connect: another one may be taken by another client.
    client_id: String,
    /// Says what may be read. Null where the password is.
    username: Option<String>,
    /// Good for this client id only, until a little after `expires_at`. Null = connect without, if a module of this target is to come by
    /// `push`. If none is, there may be no way in now: with the reason `broker-unready` the broker cannot be told of the client, so do not
    /// connect, and ask again after `next_session_ms`.
    password: Option<String>,
    keep_alive_s: u16,
}

/// Without the password.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("target", &self.target)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// How one module comes to this client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModuleSession {
    #[schema(value_type = String, pattern = "^(poll|push)$")]
    transport: Transport,
    /// Why: a stable word.
    reason: &'static str,
    /// Where the module's retained message shows another one, this answer no longer holds: ask again.
    version: i64,
    /// What to subscribe to at QoS 1: the module's retained message, and its channels for this client. Empty without a
    /// target.
    topics: Vec<String>,
    /// Where. Null = none gets the module now.
    target: Option<String>,
    /// How long to wait before the next poll while the transport is `poll`. Null = nothing is configured. Where clients are sent
    /// back from push, each has its own, so that they do not come at once, and asks for the session again after it.
    next_poll_ms: Option<u64>,
    /// Whether that is its time to come back from push.
    #[serde(skip)]
    returns: bool,
    /// How long this holds, if a guard is about to move the client.
    #[serde(skip)]
    holds_ms: Option<u64>,
}

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

    /// Whether the client is there, where it has to be made.
    fn is_made(&self, connection: &Connection) -> bool {
        let target = self.targets.get(&connection.target);
        let has_to_be = target.is_some_and(Target::is_made_there);
        !has_to_be || connection.password.is_some()
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

    /// How long the answer holds: no longer than the credential of the caller.
    fn lifetime_ms(&self, who: &Who) -> u64 {
        let ends_at = who.caller().and_then(|caller| caller.expires_at);
        let left = ends_at.map(|at| at.since(self.clock.now()).as_millis());
        let left = left.and_then(|left| u64::try_from(left).ok());
        left.map_or(self.settings.lifetime_ms, |left| {
            left.min(self.settings.lifetime_ms)
        })
    }

    /// What a client is told on its way back from push is no interval to go on with: it asks again once it is there. So does one that a
    /// guard moves, at its own time.
    fn next_session_ms(
        &self,
        lifetime_ms: u64,
        modules: &BTreeMap<String, ModuleSession>,
        chance: f64,
    ) -> u64 {
        // Whose credential ends in a moment does not come again and again until then.
        let shortest = SHORTEST_SESSION_MS.min(self.settings.lifetime_ms / 2);
        let usual = spread((lifetime_ms / 2).max(shortest), chance);
        let returning = modules.values().filter(|module| module.returns);
        let there = returning.filter_map(|module| module.next_poll_ms).max();
        let moved = modules.values().filter_map(|module| module.holds_ms).min();
        let soonest = there.into_iter().chain(moved).min();
        soonest.map_or(usual, |soonest| usual.min(soonest.max(SHORTEST_SESSION_MS)))
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

    async fn connection(&self, name: &str, asked: &AskedSession) -> Option<Connection> {
        let target = self.targets.get(name)?;
        let longest = target.limits.client_id_bytes;
        let client_id = client_id::of(
            &target.group,
            (&asked.who, &asked.audiences),
            &asked.client_id,
            longest,
        );
        let entered_with = self.issue(name, target, asked, &client_id).await;
        let (username, password) = entered_with
            .map(|issued| (issued.username, issued.password))
            .unzip();
        let aliases = self.census.presence().aliases();
        aliases.note(&client_id, &asked.client_id);
        Some(Connection {
            target: name.to_owned(),
            url: target.address.mqtt.clone(),
            websocket_url: target.address.websocket.clone(),
            protocol: target.protocol,
            client_id,
            username,
            password,
            keep_alive_s: self.settings.keep_alive_s,
        })
    }

    /// With what the client enters. Without, where it needs something, it is refused there and polls on.
    async fn issue(
        &self,
        name: &str,
        target: &Target,
        asked: &AskedSession,
        client_id: &str,
    ) -> Option<Issued> {
        match target.credentials {
            credentials::Credentials::None => None,
            credentials::Credentials::Static => self.credentials.configured(name),
            credentials::Credentials::Signed => {
                let passes = self.credentials.passes()?;
                passes.issue(&asked.who, &asked.audiences, client_id)
            }
            credentials::Credentials::Dynsec => {
                let desk = self.credentials.desk(name)?;
                let who = (&asked.who, asked.address);
                desk.issue(who, &asked.audiences, client_id).await
            }
        }
    }
}

impl Target {
    /// Whether clients have to be made on its broker before they enter.
    fn is_made_there(&self) -> bool {
        self.credentials == credentials::Credentials::Dynsec
    }
}

/// A little more than what is left, so that who comes then finds itself moved.
fn from_now_ms(moment: Instant) -> u64 {
    let left = moment.saturating_duration_since(Instant::now());
    u64::try_from(left.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

/// Nobody is asked to come again sooner.
const SHORTEST_SESSION_MS: u64 = 1_000;

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

/// A tenth less at most, so that clients that asked together do not come back together.
fn spread(ms: u64, chance: f64) -> u64 {
    let tenth = Duration::from_millis(ms / 10).mul_f64(chance.clamp(0.0, 1.0));
    ms - u64::try_from(tenth.as_millis()).unwrap_or(0)
}
