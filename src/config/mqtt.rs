//! `[mqtt]`: brokers and topics.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Topics and the brokers that the mirror feeds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Mqtt {
    /// First part of every topic.
    pub topic_prefix: String,
    /// First part of the gateway's own MQTT client ids.
    pub client_id_prefix: String,
    /// The brokers. Today at most one; none = the embedded broker at `embedded://127.0.0.1:1883`.
    pub targets: Vec<Target>,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            topic_prefix: "changeover".to_owned(),
            client_id_prefix: "changeover".to_owned(),
            targets: Vec::new(),
        }
    }
}

/// One MQTT broker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// Name of the target in the database, metrics and commands.
    pub name: String,
    /// `embedded://host:port` or `mqtt://user:password@host:port`.
    pub url: String,
    /// Address of MQTT over WebSocket; embedded brokers only, absent = none.
    pub websocket: Option<SocketAddr>,
    /// Where clients find the broker; absent = `url`.
    pub public_url: Option<String>,
    /// Where browsers find the broker; absent = `websocket`.
    pub public_websocket_url: Option<String>,
    /// The protocol that the gateway speaks to it.
    pub protocol: Protocol,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            name: "local".to_owned(),
            url: "embedded://127.0.0.1:1883".to_owned(),
            websocket: None,
            public_url: None,
            public_websocket_url: None,
            protocol: Protocol::V5,
        }
    }
}

/// A version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// MQTT 5.
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1.
    #[serde(rename = "3.1.1")]
    V311,
}
