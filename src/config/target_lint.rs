//! Whether what is configured fits the brokers that it goes to.
//!
//! Invariant: what can never fit is an error; what may not fit, depending on the data, is a warning.

use super::{
    Config, Problems,
    modules::Module,
    mqtt::{Protocol, Target},
    profile::{BrokerLimits, Characters},
};
use crate::domain::Limits;

/// What was found, by weight.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) errors: Problems,
    pub(super) warnings: Problems,
}

/// What stands before an audience that does not fit its topic as it is: `=h` and 26 characters.
pub const HASHED_AUDIENCE_BYTES: usize = 28;

/// `_all`, the shortest that stands for everyone.
const EVERYONE_BYTES: usize = 4;

/// Levels of a topic below the prefix: kind, module, audience.
const LEVELS_BELOW: usize = 3;

/// Bytes of an event besides its texts, and of a pointer's address besides the public URL, rounded up.
const EVENT_FRAME_BYTES: usize = 512;

/// A packet's bytes besides its payload, rounded up.
const PACKET_FRAME_BYTES: usize = 512;

/// One target and what it is measured by.
struct Look<'c> {
    config: &'c Config,
    target: &'c Target,
    limits: BrokerLimits,
    path: String,
    /// The first part of its topics, and the key that it comes from.
    prefix: &'c str,
    prefix_key: String,
}

/// Looks at every target.
pub(super) fn look(config: &Config) -> Findings {
    let mut findings = Findings::default();
    for (n, target) in config.mqtt.effective_targets().iter().enumerate() {
        let path = format!("mqtt.targets[{n}]");
        let look = Look {
            config,
            target,
            limits: target.broker_limits(),
            prefix: target.effective_prefix(&config.mqtt),
            prefix_key: match target.topic_prefix {
                Some(_) => format!("{path}.topic_prefix"),
                None => "mqtt.topic_prefix".to_owned(),
            },
            path,
        };
        look.protocol(&mut findings);
        look.prefix(&mut findings);
        look.topics(&mut findings);
        look.client_id(&mut findings);
        look.sizes(&mut findings);
        look.rate(&mut findings);
    }
    findings
}

impl Look<'_> {
    /// As it is named in messages.
    fn name(&self) -> String {
        let profile = self.target.effective_profile().as_str();
        format!("target `{}` ({profile})", self.target.name.escape_debug())
    }

    fn protocol(&self, findings: &mut Findings) {
        if !self.limits.mqtt5 && self.target.protocol == Protocol::V5 {
            findings.errors.push(
                format!("{}.protocol", self.path),
                format!("{} speaks no MQTT 5: set \"3.1.1\"", self.name()),
            );
        }
    }

    fn prefix(&self, findings: &mut Findings) {
        let prefix = self.prefix;
        let levels = prefix.split('/').count() + LEVELS_BELOW;
        if levels > self.limits.topic_levels {
            findings.errors.push(
                &self.prefix_key,
                format!(
                    "makes topics of {levels} levels, {} takes {}: use fewer `/`",
                    self.name(),
                    self.limits.topic_levels
                ),
            );
        }
        if let Some(refused) = self.limits.topic_characters.refused_in(prefix) {
            findings.errors.push(
                &self.prefix_key,
                format!(
                    "holds `{}`, which {} does not take in topics: use letters, digits, `-` and `_`",
                    refused.escape_debug(),
                    self.name()
                ),
            );
        }
    }

    fn topics(&self, findings: &mut Findings) {
        let modules = self.config.modules.iter().enumerate();
        let taken = modules.filter(|(_, module)| self.target.takes_named(&module.name));
        let rooms = taken.filter_map(|(n, module)| self.topics_of(n, module, findings));
        if let Some(room) = rooms.min() {
            self.audiences(room, findings);
        }
    }

    /// Returns what is left for an audience, if the module may have others than everyone and a hash fits.
    fn topics_of(&self, n: usize, module: &Module, findings: &mut Findings) -> Option<usize> {
        let (name, most) = (self.name(), self.limits.topic_bytes);
        let before =
            self.prefix.trim_end_matches('/').len() + "/c/".len() + module.name.len() + "/".len();
        let needed = before + EVERYONE_BYTES;
        if needed > most {
            findings.errors.push(
                format!("modules[{n}].name"),
                format!("its shortest topic has {needed} bytes, {name} takes {most}: shorten the name or {}", self.prefix_key),
            );
            return None;
        }
        if self.config.is_for_everyone(module) {
            return None;
        }
        let room = most - before;
        if room < HASHED_AUDIENCE_BYTES {
            let lacking = HASHED_AUDIENCE_BYTES - room;
            findings.warnings.push(
                format!("modules[{n}].name"),
                format!("an audience of more than {room} bytes has no topic on {name}, and would halt the module there: shorten the name or {} by {lacking} bytes", self.prefix_key),
            );
            return None;
        }
        Some(room)
    }

    fn audiences(&self, room: usize, findings: &mut Findings) {
        if room < self.config.limits.audience_bytes {
            findings.warnings.push(
                "limits.audience_bytes",
                format!(
                    "audiences of more than {room} bytes get a hash for their topics on {}: clients must take topics from the gateway and not compute them",
                    self.name()
                ),
            );
        }
        if self.limits.topic_characters == Characters::Plain {
            findings.warnings.push(
                format!("{}.profile", self.path),
                format!(
                    "audiences with other characters than letters, digits, `-` and `_`, or too long ones, are written with `=`, which {} is not documented to take",
                    self.name()
                ),
            );
        }
    }

    fn client_id(&self, findings: &mut Findings) {
        let prefix = &self.config.mqtt.client_id_prefix;
        if let Some(held) = self.limits.client_id_holds
            && !prefix.contains(held)
        {
            findings.errors.push(
                "mqtt.client_id_prefix",
                format!(
                    "{} takes no client id without `{held}`: write your group before it, such as \"GID_gateway{held}gw\"",
                    self.name()
                ),
            );
        }
    }

    fn sizes(&self, findings: &mut Findings) {
        let Some(most) = self.payload_bytes() else {
            return;
        };
        let Limits {
            audience_bytes,
            key_bytes,
            value_bytes,
            ..
        } = self.config.limits;
        let frame = EVENT_FRAME_BYTES + key_bytes + audience_bytes;
        let public_url = self.config.server.public_url.as_deref();
        if frame + public_url.map_or(0, str::len) > most {
            findings.warnings.push(
                "limits.key_bytes",
                format!(
                    "a change with a key of {key_bytes} bytes may fit {} not even without its value, and would halt its module there: allow smaller keys",
                    self.name()
                ),
            );
        } else if frame + value_bytes > most {
            findings.warnings.push(
                "limits.value_bytes",
                format!(
                    "values of more than about {} bytes go to {} as pointers, and clients read them from the stream: allow smaller ones to avoid that",
                    most - frame,
                    self.name()
                ),
            );
            if public_url.is_none() {
                findings.warnings.push(
                    "server.public_url",
                    "absent, so the pointers hold relative addresses: set it to where clients find server.public",
                );
            }
        }
    }

    fn payload_bytes(&self) -> Option<usize> {
        let embedded = self.target.url.starts_with("embedded:");
        let packet = embedded.then_some(self.config.broker.packet_bytes);
        let room = packet.map(|packet| packet.saturating_sub(PACKET_FRAME_BYTES));
        [room, self.limits.payload_bytes]
            .into_iter()
            .flatten()
            .min()
    }

    fn rate(&self, findings: &mut Findings) {
        let Some(rate) = self.limits.publishes_per_s else {
            if self.limits.rate_is_bought {
                findings.warnings.push(
                    format!("{}.limits.publishes_per_s", self.path),
                    format!(
                        "absent, and {} throttles by what was bought and may lose messages beyond: set the gateway's share",
                        self.name()
                    ),
                );
            }
            return;
        };
        let modules = self.config.modules.iter();
        let taken = modules.filter(|module| self.target.takes_named(&module.name));
        let bookmarks = 1_000 * taken.count() as u64;
        let needed = bookmarks.div_ceil(self.config.mirror.bookmark_ms.max(1));
        let rate = u64::from(rate);
        let told = |word: &str| {
            format!(
                "the retained messages, one of each module, take {needed} publishes a second, {word} the {rate} of {}: make it longer",
                self.name()
            )
        };
        if needed > rate {
            findings
                .errors
                .push("mirror.bookmark_ms", told("more than"));
        } else if needed * 2 > rate && needed > 1 {
            findings
                .warnings
                .push("mirror.bookmark_ms", told("more than half of"));
        }
    }
}

#[cfg(test)]
#[path = "target_lint_tests.rs"]
mod tests;
