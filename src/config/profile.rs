//! What a broker takes, by the name of its product.
//!
//! A profile is data: the limits that a product's documentation names, as `docs/PROFILES.md` shows them with
//! their sources. What an operator knows better stands in the `limits` of the target.

use serde::{Deserialize, Serialize};

use super::Problems;

/// A product, or a set of limits that several share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Nothing but what MQTT itself bounds, and what the broker says when it lets us in.
    Mqtt,
    /// What every broker of this list takes, but for its rate.
    Portable,
    /// Alibaba Cloud `ApsaraMQ` for MQTT.
    Aliyun,
    /// AWS `IoT` Core.
    AwsIot,
    /// The MQTT broker of Azure Event Grid.
    AzureEventGrid,
    /// Eclipse Mosquitto.
    Mosquitto,
    /// `RabbitMQ` with its MQTT plugin.
    #[serde(rename = "rabbitmq")]
    RabbitMq,
    /// NATS with `JetStream` and MQTT.
    Nats,
    /// EMQX.
    Emqx,
    /// `HiveMQ`.
    #[serde(rename = "hivemq")]
    HiveMq,
    /// `VerneMQ`.
    #[serde(rename = "vernemq")]
    VerneMq,
    /// The broker inside this process.
    Embedded,
}

/// The characters that topics may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Characters {
    /// All that MQTT allows.
    Any,
    /// None that a broker of another protocol gives a meaning of its own: `.`, `*`, `>` and the space.
    NoDots,
    /// Letters, digits, `-`, `_`, and `/` between levels.
    Plain,
}

/// What a broker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerLimits {
    /// The longest topic, in bytes.
    pub topic_bytes: usize,
    /// Levels of a topic.
    pub topic_levels: usize,
    /// Their characters.
    pub topic_characters: Characters,
    /// The largest payload of a publish, in bytes; `None` = as large as a packet may be.
    pub payload_bytes: Option<usize>,
    /// The longest client id, in bytes.
    pub client_id_bytes: usize,
    /// What every client id must have within it.
    pub client_id_holds: Option<&'static str>,
    /// Whether it takes and keeps retained messages.
    pub retained: bool,
    /// Whether it speaks MQTT 5.
    pub mqtt5: bool,
    /// Publishes of one connection that may be without acknowledgement at once.
    pub inflight: Option<u16>,
    /// Publishes of one connection in a second.
    pub publishes_per_s: Option<u32>,
    /// Whether it throttles by what was paid for, which no profile can know.
    pub rate_is_bought: bool,
}

/// The longest topic that MQTT can carry, and the most that any text of it has.
const MQTT_TEXT_BYTES: usize = 65_535;

/// MQTT without any limits of a product.
const MQTT: BrokerLimits = BrokerLimits {
    topic_bytes: MQTT_TEXT_BYTES,
    topic_levels: MQTT_TEXT_BYTES,
    topic_characters: Characters::Any,
    payload_bytes: None,
    client_id_bytes: MQTT_TEXT_BYTES,
    client_id_holds: None,
    retained: true,
    mqtt5: true,
    inflight: None,
    publishes_per_s: None,
    rate_is_bought: false,
};

impl Profile {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Mqtt,
        Self::Portable,
        Self::Aliyun,
        Self::AwsIot,
        Self::AzureEventGrid,
        Self::Mosquitto,
        Self::RabbitMq,
        Self::Nats,
        Self::Emqx,
        Self::HiveMq,
        Self::VerneMq,
        Self::Embedded,
    ];

    /// As it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Portable => "portable",
            Self::Aliyun => "aliyun",
            Self::AwsIot => "aws-iot",
            Self::AzureEventGrid => "azure-event-grid",
            Self::Mosquitto => "mosquitto",
            Self::RabbitMq => "rabbitmq",
            Self::Nats => "nats",
            Self::Emqx => "emqx",
            Self::HiveMq => "hivemq",
            Self::VerneMq => "vernemq",
            Self::Embedded => "embedded",
        }
    }

    /// The documented limits. `docs/PROFILES.md` names the source of each.
    pub const fn limits(self) -> BrokerLimits {
        match self {
            Self::Mqtt | Self::HiveMq | Self::Embedded => MQTT,
            Self::Portable => BrokerLimits {
                topic_bytes: 64,
                topic_levels: 8,
                topic_characters: Characters::Plain,
                payload_bytes: Some(64 * 1024),
                // What MQTT 3.1.1 promises.
                client_id_bytes: 23,
                retained: false,
                ..MQTT
            },
            Self::Aliyun => BrokerLimits {
                topic_bytes: 64,
                topic_characters: Characters::Plain,
                payload_bytes: Some(64 * 1024),
                client_id_bytes: 64,
                client_id_holds: Some("@@@"),
                retained: false,
                rate_is_bought: true,
                ..MQTT
            },
            Self::AwsIot => BrokerLimits {
                topic_bytes: 256,
                topic_levels: 8,
                payload_bytes: Some(128 * 1024),
                client_id_bytes: 128,
                inflight: Some(100),
                publishes_per_s: Some(100),
                ..MQTT
            },
            Self::AzureEventGrid => BrokerLimits {
                topic_bytes: 256,
                topic_levels: 15,
                payload_bytes: Some(512 * 1024),
                client_id_bytes: 128,
                retained: false,
                inflight: Some(1_000),
                publishes_per_s: Some(1_000),
                ..MQTT
            },
            Self::Mosquitto => BrokerLimits {
                topic_levels: 201,
                ..MQTT
            },
            Self::RabbitMq => BrokerLimits {
                topic_bytes: 255,
                topic_characters: Characters::NoDots,
                ..MQTT
            },
            Self::Nats => BrokerLimits {
                topic_characters: Characters::NoDots,
                // 1 MiB with the headers that the server adds to what it stores.
                payload_bytes: Some(1_000_000),
                mqtt5: false,
                ..MQTT
            },
            Self::Emqx => BrokerLimits {
                topic_levels: 128,
                // A packet of 1 MiB.
                payload_bytes: Some(1_000_000),
                ..MQTT
            },
            Self::VerneMq => BrokerLimits {
                topic_levels: 10,
                client_id_bytes: 23,
                ..MQTT
            },
        }
    }
}

/// What stands in the place of a profile's numbers on one target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overrides {
    /// The longest topic, in bytes.
    pub topic_bytes: Option<usize>,
    /// Levels of a topic.
    pub topic_levels: Option<usize>,
    /// Their characters.
    pub topic_characters: Option<Characters>,
    /// The largest payload, in bytes.
    pub payload_bytes: Option<usize>,
    /// The longest client id, in bytes.
    pub client_id_bytes: Option<usize>,
    /// Whether it takes and keeps retained messages.
    pub retained: Option<bool>,
    /// Publishes of one connection that may be without acknowledgement at once.
    pub inflight: Option<u16>,
    /// Publishes of one connection in a second.
    pub publishes_per_s: Option<u32>,
}

impl Overrides {
    /// The limits of a profile with these in place of its own.
    pub fn over(&self, limits: BrokerLimits) -> BrokerLimits {
        BrokerLimits {
            topic_bytes: self.topic_bytes.unwrap_or(limits.topic_bytes),
            topic_levels: self.topic_levels.unwrap_or(limits.topic_levels),
            topic_characters: self.topic_characters.unwrap_or(limits.topic_characters),
            payload_bytes: self.payload_bytes.or(limits.payload_bytes),
            client_id_bytes: self.client_id_bytes.unwrap_or(limits.client_id_bytes),
            retained: self.retained.unwrap_or(limits.retained),
            inflight: self.inflight.or(limits.inflight),
            publishes_per_s: self.publishes_per_s.or(limits.publishes_per_s),
            ..limits
        }
    }

    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let mut bound = |key: &str, value: Option<usize>, min, max| {
            if let Some(value) = value {
                problems.bound(&format!("{path}.{key}"), value, min, max);
            }
        };
        bound("topic_bytes", self.topic_bytes, 32, 65_535);
        bound("topic_levels", self.topic_levels, 4, 65_535);
        bound("payload_bytes", self.payload_bytes, 1_024, 268_435_455);
        bound("client_id_bytes", self.client_id_bytes, 23, 65_535);
        bound("inflight", self.inflight.map(usize::from), 1, 65_535);
        let rate = self.publishes_per_s.map(|rate| rate as usize);
        bound("publishes_per_s", rate, 1, 1_000_000);
    }
}

impl Characters {
    /// The first character that a topic may not have; `/` is always one between levels.
    pub fn refused_in(self, topic: &str) -> Option<char> {
        let allowed = |c: char| match self {
            Self::Any => true,
            Self::NoDots => !matches!(c, '.' | '*' | '>' | ' '),
            Self::Plain => c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/'),
        };
        topic.chars().find(|c| !allowed(*c))
    }
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
