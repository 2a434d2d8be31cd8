//! What operators write: one file per section, each with its defaults and its own checks.
//!
//! Invariant: a [`Config`] that [`load`] returned has passed every check of this room; a problem
//! is reported with its key path, and all problems are reported at once.

pub mod admission;
pub mod auth;
pub mod broker;
pub mod database;
#[cfg(test)]
mod documentation_tests;
pub mod endpoint;
mod explain;
pub mod ingest;
mod key_path;
mod layers;
mod loading;
pub mod log;
pub mod mirror;
pub mod modules;
mod modules_check;
pub mod mqtt;
pub mod outbox;
pub mod poll;
pub mod poll_path;
mod problems;
mod reading;
pub mod redact;
pub mod sequencer;
pub mod server;
pub mod span;
pub mod steer;
pub mod tail;
#[cfg(test)]
mod tests;
pub mod wait;

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

pub use loading::{DEFAULT_FILE, SourceFile, Sources, load, load_to_serve};
pub use problems::{Problem, Problems};

use crate::domain::{Limits, ModuleName};

/// The whole configuration, as in `changeover.toml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Listeners and the process itself.
    pub server: server::Server,
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
    /// What all legacy polls share.
    pub poll: poll::Poll,
    /// How many reads go on at once.
    pub admission: admission::Admission,
    /// Brokers and topics.
    pub mqtt: mqtt::Mqtt,
    /// Publishing.
    pub mirror: mirror::Mirror,
    /// Bounds of the embedded broker.
    pub broker: broker::Broker,
    /// Log output.
    pub log: log::Log,
    /// The modules that this gateway serves.
    pub modules: Vec<modules::Module>,
}

impl Config {
    /// The modules by their names.
    pub fn modules_by_name(&self) -> BTreeMap<ModuleName, &modules::Module> {
        let named = |module| (modules::Module::module_name(module), module);
        self.modules.iter().map(named).collect()
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
        self.database.validate("database", problems);
        validate_limits(&self.limits, "limits", problems);
        self.ingest.validate("ingest", problems);
        self.outbox.validate("outbox", problems);
        self.sequencer.validate("sequencer", problems);
        self.tail.validate("tail", problems);
        self.mqtt.validate("mqtt", problems);
        self.mirror.validate("mirror", problems);
        self.broker.validate("broker", problems);
        self.poll.validate("poll", problems);
        self.admission.validate("admission", problems);
        self.log.validate("log", problems);
        modules_check::validate(&self.modules, &self.limits, problems);
        self.validate_listeners(problems);
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
            if !private && !address.ip().is_loopback() && !self.auth.open_i_understand {
                problems.push(
                    key,
                    format!(
                        "{address} is not a loopback address, and every caller is believed who it says it is: use 127.0.0.1, or set auth.open_i_understand = true"
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
    bound("value_bytes", limits.value_bytes, 64 * 1024 * 1024);
}
