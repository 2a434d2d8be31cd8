//! What operators write: one file per section, each with its defaults and its own checks.
//!
//! Invariant: a [`Config`] that [`load`] returned has passed every check of this room; a problem
//! is reported with its key path, and all problems are reported at once.

pub mod admission;
pub mod auth;
pub mod broker;
pub mod broker_hooks;
mod browsers;
pub mod census;
pub mod credentials;
pub mod database;
#[cfg(test)]
mod documentation_tests;
pub mod dynsec;
pub mod endpoint;
pub mod endpoints;
mod endpoints_check;
mod explain;
mod forgers;
pub mod gates;
pub mod guard;
pub mod ingest;
pub mod json_pointer;
mod key_path;
mod layers;
pub mod listener_tls;
mod loading;
pub mod log;
pub mod login;
pub mod mirror;
pub mod modules;
mod modules_check;
pub mod mqtt;
pub mod native;
pub mod ofrep;
pub mod ops;
pub mod outbox;
pub mod panic;
pub mod pem;
pub mod poll;
pub mod poll_path;
pub mod port;
mod problems;
pub mod profile;
pub mod quirks;
pub mod rate;
mod reading;
pub mod redact;
pub mod response;
pub mod retention;
mod routes;
pub mod savings;
pub mod sequencer;
pub mod server;
pub mod session;
pub mod span;
pub mod steer;
#[cfg(any(test, fuzzing))]
pub mod strangers;
pub mod tail;
pub mod target_link;
#[cfg(test)]
mod target_link_tests;
mod target_lint;
pub mod targets;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod verifier;
pub mod wait;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use loading::{DEFAULT_FILE, SourceFile, Sources, load, load_to_serve};
pub use problems::{Problem, Problems};

use self::retention::Kept;
use crate::domain::{Limits, ModuleName, Pace};

/// The whole configuration, as in `changeover.toml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Listeners and the process itself.
    pub server: server::Server,
    /// How often one may ask.
    pub rate: rate::Rate,
    /// Where the change log lives.
    pub database: database::Database,
    /// Who may call.
    pub auth: auth::Auth,
    /// Upper bounds of one change.
    pub limits: Limits,
    /// Ingest over HTTP.
    pub ingest: ingest::Ingest,
    /// The table that producers insert into.
    pub outbox: outbox::Outbox,
    /// Numbering.
    pub sequencer: sequencer::Sequencer,
    /// The newest part of the log, in memory.
    pub tail: tail::Tail,
    /// Pruning.
    pub retention: retention::Retention,
    /// What all legacy polls share.
    pub poll: poll::Poll,
    /// Streams, snapshots and polls of several modules.
    pub native: native::Native,
    /// What clients on push are told.
    pub session: session::Session,
    /// Flags for OpenFeature.
    pub ofrep: ofrep::Ofrep,
    /// Sending every client back to polling.
    pub panic: panic::Panic,
    /// Telling clients to poll while the mirror fails them.
    pub guard: guard::Guard,
    /// Who was last seen how.
    pub census: census::Census,
    /// What is kept of what was counted, and what it is worth.
    pub savings: savings::Savings,
    /// How many reads go on at once.
    pub admission: admission::Admission,
    /// Brokers and topics.
    pub mqtt: mqtt::Mqtt,
    /// Publishing.
    pub mirror: mirror::Mirror,
    /// Reading back what was published.
    pub verifier: verifier::Verifier,
    /// Bounds of the embedded broker.
    pub broker: broker::Broker,
    /// Brokers that ask the gateway who may do what.
    pub broker_hooks: broker_hooks::BrokerHooks,
    /// Bounds of clients that are kept on brokers.
    pub dynsec: dynsec::Dynsec,
    /// What a step forward asks for.
    pub gates: gates::Gates,
    /// Log output.
    pub log: log::Log,
    /// The modules that this gateway serves.
    pub modules: Vec<modules::Module>,
    /// Legacy endpoints that serve several modules.
    pub endpoints: Vec<endpoints::Endpoint>,
}

impl Config {
    /// The modules by their names.
    pub fn modules_by_name(&self) -> BTreeMap<ModuleName, &modules::Module> {
        let named = |module| (modules::Module::module_name(module), module);
        self.modules.iter().map(named).collect()
    }

    /// How the changes of a module are spread over ticks, if a cursor of it is a time: what suits all
    /// endpoints that serve it.
    pub fn pace(&self, module: &modules::Module) -> Option<Pace> {
        let polls = self.polls_of(module);
        polls.filter_map(modules::Poll::pace).reduce(Pace::and)
    }

    /// Whether the state of any module is read by time: one that has a state and a cursor that is a time.
    pub fn reads_state_by_time(&self) -> bool {
        let mut modules = self.modules.iter();
        modules.any(|module| module.state && self.pace(module).is_some())
    }

    /// Whether no poll of a module knows an audience but `*`. Without a poll nobody has said so.
    pub fn is_for_everyone(&self, module: &modules::Module) -> bool {
        let mut polls = self.polls_of(module).peekable();
        polls.peek().is_some() && polls.all(modules::Poll::is_for_everyone)
    }

    /// The shortest time between two polls that an endpoint of the module tells its clients; absent if it has none.
    pub fn shortest_poll_ms(&self, module: &modules::Module) -> Option<u64> {
        self.polls_of(module).map(|poll| poll.next_poll_ms).min()
    }

    /// The contracts by which a module is polled, its own and shared ones.
    fn polls_of<'a>(
        &'a self,
        module: &'a modules::Module,
    ) -> impl Iterator<Item = &'a modules::Poll> {
        let shared = self.endpoints.iter();
        let shared = shared.filter(|endpoint| endpoint.modules.contains(&module.name));
        module
            .poll
            .iter()
            .chain(shared.map(|endpoint| &endpoint.poll))
    }

    /// How long a change id is remembered: as configured, else as long as the longest log is kept.
    pub fn dedup_window(&self) -> Duration {
        let ages = self.modules.iter().filter_map(|module| module.kept().age);
        let longest = ages.chain(Kept::DEFAULT.age).max();
        let window = self.outbox.dedup_window.or(longest);
        window.map_or(Duration::ZERO, span::Span::get)
    }

    /// What counts, as TOML, with what was left open filled in and every secret hidden. It loads
    /// again, except that the secrets are gone.
    pub fn to_toml(&self) -> String {
        let mut effective = self.clone();
        effective.server.instance = self.server.instance_name();
        effective.mqtt.targets = self.mqtt.effective_targets();
        let mut tree = toml::Value::try_from(&effective)
            .expect("a configuration is tables, lists, texts and numbers");
        redact::tree(&mut tree);
        toml::to_string_pretty(&tree).expect("a tree of TOML values can be written")
    }

    /// Everything that is wrong with the values.
    pub fn validate(&self, problems: &mut Problems) {
        self.server.validate("server", problems);
        self.rate.validate("rate", problems);
        self.database.validate("database", problems);
        self.auth.validate("auth", problems);
        validate_limits(&self.limits, "limits", problems);
        self.database
            .validate_limits(&self.limits, "limits", problems);
        self.ingest.validate("ingest", problems);
        self.outbox.validate("outbox", problems);
        self.sequencer.validate("sequencer", problems);
        self.tail.validate("tail", problems);
        self.retention.validate("retention", problems);
        self.mqtt.validate("mqtt", problems);
        targets::validate(self, "mqtt.targets", problems);
        self.mirror.validate("mirror", problems);
        self.verifier.validate("verifier", problems);
        self.broker.validate("broker", problems);
        self.broker_hooks.validate("broker_hooks", problems);
        self.dynsec.validate("dynsec", problems);
        self.auth
            .passes
            .validate("auth.passes", &self.session, problems);
        self.gates.validate("gates", problems);
        self.poll.validate("poll", problems);
        self.native.validate("native", problems);
        self.session.validate("session", problems);
        self.ofrep.validate("ofrep", problems);
        self.panic.validate("panic", problems);
        self.guard.validate("guard", problems);
        self.census.validate("census", problems);
        self.census.validate_for(&self.gates, "census", problems);
        self.savings.validate("savings", problems);
        self.admission.validate("admission", problems);
        self.log.validate("log", problems);
        let mut routes = routes::Routes::default();
        modules_check::validate(self, &mut routes, problems);
        endpoints::validate(self, &mut routes, problems);
        self.validate_listeners(problems);
        problems.add_unless_known(target_lint::look(self).errors);
    }

    /// What is allowed and may still not be what was meant: with some data the brokers will not take
    /// everything as it is.
    pub fn warnings(&self) -> Problems {
        let mut warnings = target_lint::look(self).warnings;
        target_link::warn(&self.mqtt, &mut warnings);
        self.server.warn("server", &mut warnings);
        credentials::warn(self, &mut warnings);
        browsers::warn(self, &mut warnings);
        forgers::warn(self, &mut warnings);
        warnings
    }

    /// Whether `/metrics` asks for no token.
    pub fn are_metrics_open(&self) -> bool {
        let on_loopback = self.server.private.ip().is_loopback();
        self.auth.metrics_open.unwrap_or(on_loopback)
    }

    /// Who is believed without a proof, in words; `None` if nobody is.
    pub fn who_is_open(&self) -> Option<String> {
        if self.auth.is_open() {
            return Some("every caller is believed who it says it is".to_owned());
        }
        let mut modules = self.modules.iter();
        let open = modules.find(|module| self.auth.takes_open(module.callers.as_deref()))?;
        Some(format!(
            "who brings no credential to module {} is believed who it says it is",
            open.name
        ))
    }

    /// What modules ask of a caller's credential, by name.
    pub fn claims(&self) -> BTreeSet<String> {
        let shared = self.endpoints.iter().map(|endpoint| &endpoint.poll);
        let own = self
            .modules
            .iter()
            .filter_map(|module| module.poll.as_ref());
        let audiences = own.chain(shared).filter_map(|poll| poll.audience.as_ref());
        audiences.filter_map(|field| field.claim.clone()).collect()
    }

    /// Every address that the process opens, with its key.
    fn listeners(&self) -> Vec<(String, SocketAddr)> {
        let mut all = vec![
            ("server.public".to_owned(), self.server.public),
            ("server.private".to_owned(), self.server.private),
        ];
        for (n, target) in self.mqtt.effective_targets().iter().enumerate() {
            let key = |(key, address)| (format!("mqtt.targets[{n}].{key}"), address);
            all.extend(target.listeners().into_iter().map(key));
        }
        all
    }

    fn validate_listeners(&self, problems: &mut Problems) {
        let all = self.listeners();
        for (n, (key, address)) in all.iter().enumerate() {
            if let Some((first, _)) = all[..n].iter().find(|(_, other)| collide(*other, *address)) {
                problems.push(
                    key,
                    format!("{address} is already taken by {first}: use another port"),
                );
            }
            let private = key == "server.private";
            if private || address.ip().is_loopback() || self.auth.open_i_understand {
                continue;
            }
            if let Some(open) = self.who_is_open() {
                problems.push(
                    key,
                    format!(
                        "{address} is not a loopback address, and {open}: use 127.0.0.1, or set auth.open_i_understand = true"
                    ),
                );
            }
        }
    }
}

/// Whether two listeners cannot both be opened. Port 0 is a free one each time.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_ip
}

/// `[limits]` lives in the domain, which knows no key paths.
fn validate_limits(limits: &Limits, path: &str, problems: &mut Problems) {
    let mut bound = |key: &str, value: usize, max| {
        problems.bound(&format!("{path}.{key}"), value, 1, max);
    };
    bound("audience_bytes", limits.audience_bytes, 1_024);
    bound("key_bytes", limits.key_bytes, 2_048);
    bound("change_id_bytes", limits.change_id_bytes, 1_024);
    bound("value_depth", limits.value_depth, 64 * 1024 * 1024);
    bound("value_bytes", limits.value_bytes, 64 * 1024 * 1024);
}
