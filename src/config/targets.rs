//! What sets targets apart: their topics, their modules, the form of their events; and what they must not share.

use serde::{Deserialize, Serialize};

use super::{
    Config, Problems,
    endpoint::{BrokerKind, Endpoint},
    mqtt::{Mqtt, Protocol, Target},
};
use crate::domain::ModuleName;

/// How an event stands in a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// The payload is the whole event as JSON.
    #[default]
    Structured,
    /// The payload is the value, the rest of the event are user properties of MQTT 5.
    Binary,
}

impl Encoding {
    /// As it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Structured => "structured",
            Self::Binary => "binary",
        }
    }
}

impl Target {
    /// The first part of its topics.
    pub fn effective_prefix<'a>(&'a self, mqtt: &'a Mqtt) -> &'a str {
        self.topic_prefix.as_deref().unwrap_or(&mqtt.topic_prefix)
    }

    /// Whether it gets the changes of a module.
    pub fn takes(&self, module: &ModuleName) -> bool {
        self.takes_named(module.as_str())
    }

    /// Whether it gets the changes of the module of this name.
    pub(super) fn takes_named(&self, module: &str) -> bool {
        let named = |names: &Vec<String>| names.iter().any(|name| name == module);
        self.modules.as_ref().is_none_or(named)
    }

    /// The modules that it gets; absent = all. Names that are none are left out: they were refused.
    pub fn module_names(&self) -> Option<Vec<ModuleName>> {
        let names = self.modules.as_ref()?.iter();
        Some(names.filter_map(|name| name.parse().ok()).collect())
    }

    /// Whether it is a broker of the gateway's own process.
    pub fn is_embedded(&self) -> bool {
        Endpoint::parse(&self.url).is_ok_and(|endpoint| endpoint.kind == BrokerKind::Embedded)
    }

    /// Whether a message of this target could come from the other one too.
    fn meets(&self, other: &Self, mqtt: &Mqtt) -> bool {
        let parsed = |target: &Self| {
            let endpoint = Endpoint::parse(&target.url).ok()?;
            let user = endpoint.username.or_else(|| target.username.clone());
            Some((endpoint.host, endpoint.port, user))
        };
        let prefix = |target: &Self| {
            target
                .effective_prefix(mqtt)
                .trim_end_matches('/')
                .to_owned()
        };
        let both = |names: &Vec<String>| match &other.modules {
            Some(others) => names.iter().any(|name| others.contains(name)),
            None => true,
        };
        // Port 0 is another one each time.
        let place = parsed(self).filter(|(_, port, _)| *port != 0);
        place.is_some()
            && place == parsed(other)
            && prefix(self) == prefix(other)
            && self.modules.as_ref().is_none_or(both)
    }
}

/// What no target can say of itself alone.
pub(super) fn validate(config: &Config, path: &str, problems: &mut Problems) {
    let targets = &config.mqtt.targets;
    let embedded = targets.iter().position(Target::is_embedded);
    for (n, target) in targets.iter().enumerate() {
        let here = format!("{path}[{n}]");
        target.validate_credentials(config.broker_hooks.are_on(), &here, problems);
        if target.encoding == Encoding::Binary && target.protocol == Protocol::V311 {
            problems.push(
                format!("{here}.encoding"),
                "`binary` needs MQTT 5, 3.1.1 has no user properties: set protocol = \"5\", or encoding = \"structured\"",
            );
        }
        if let Some(first) = embedded.filter(|first| *first < n && target.is_embedded()) {
            problems.push(
                format!("{here}.url"),
                format!(
                    "is a second embedded broker beside {path}[{first}]: a process runs one, the others are mqtt://"
                ),
            );
        }
        let twin = targets[..n]
            .iter()
            .position(|other| target.meets(other, &config.mqtt));
        if let Some(first) = twin {
            problems.push(
                &here,
                format!(
                    "publishes the same topics on the same broker as {path}[{first}]: set another topic_prefix, or share out the modules"
                ),
            );
        }
        validate_modules(config, target, &here, problems);
        validate_connections(config, target, &here, problems);
    }
}

/// The most connections of a target.
const CONNECTIONS: u16 = 16;

fn validate_connections(config: &Config, target: &Target, path: &str, problems: &mut Problems) {
    let (key, connections) = (format!("{path}.connections"), target.connections);
    problems.bound(&key, connections, 1, CONNECTIONS.into());
    if connections > 1 && target.is_embedded() {
        problems.push(
            &key,
            "is for mqtt:// targets: the embedded broker lets the gateway in once",
        );
    }
    let inflight = config.mirror.inflight;
    if (2..=CONNECTIONS).contains(&connections) && inflight < connections {
        problems.push(
            key,
            format!("must not be above mirror.inflight ({inflight}), which the connections share"),
        );
    }
}

fn validate_modules(config: &Config, target: &Target, path: &str, problems: &mut Problems) {
    let Some(names) = &target.modules else {
        return;
    };
    if names.is_empty() {
        problems.push(
            format!("{path}.modules"),
            "names no module: leave the key out for all of them",
        );
    }
    for (n, name) in names.iter().enumerate() {
        let at = || format!("{path}.modules[{n}]");
        if !config.modules.iter().any(|module| module.name == *name) {
            problems.push(
                at(),
                format!("there is no module `{}`", name.escape_debug()),
            );
        } else if names[..n].contains(name) {
            problems.push(at(), format!("`{name}` is named twice"));
        }
    }
}

#[cfg(test)]
#[path = "targets_tests.rs"]
mod tests;
