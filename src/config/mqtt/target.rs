//! One broker: where it is, what it takes, what it gets.

use std::{fmt, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::Protocol;
use crate::config::{
    credentials::Credentials,
    endpoint::Endpoint,
    profile::{BrokerLimits, Overrides, Profile},
    redact,
    targets::Encoding,
};

/// One MQTT broker.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// Name of the target in the database, metrics and commands.
    pub name: String,
    /// `embedded://host:port`, `mqtt://host:port`, `mqtts://host:port`, `ws://host:port/path` or `wss://host:port/path`.
    pub url: String,
    /// The gateway's user there.
    pub username: Option<String>,
    /// The file that holds its password.
    pub password_file: Option<PathBuf>,
    /// The environment variable that holds its password.
    pub password_env: Option<String>,
    /// With what clients enter it; absent = `signed` where it can ask the gateway, else `none`. `dynsec` is never chosen unasked.
    pub credentials: Option<Credentials>,
    /// `static`: the user of all clients.
    pub client_username: Option<String>,
    /// `static`: the file that holds its password.
    pub client_password_file: Option<PathBuf>,
    /// `static`: the environment variable that holds it.
    pub client_password_env: Option<String>,
    /// The CAs by which the broker is known, in PEM; absent = those of the system. For `mqtts` and `wss`.
    pub ca_file: Option<PathBuf>,
    /// The gateway's own certificate with its chain, in PEM.
    pub client_cert_file: Option<PathBuf>,
    /// The key of that, in PEM.
    pub client_key_file: Option<PathBuf>,
    /// Address of MQTT over WebSocket; embedded brokers only, absent = none.
    pub websocket: Option<SocketAddr>,
    /// Where clients find the broker; absent = `url`.
    pub public_url: Option<String>,
    /// Where browsers find the broker; absent = `websocket`.
    pub public_websocket_url: Option<String>,
    /// The protocol that the gateway speaks to it.
    pub protocol: Protocol,
    /// What it is, and so what it takes; absent = `embedded`, or `mqtt` for an external one.
    pub profile: Option<Profile>,
    /// What stands in place of the profile's limits.
    pub limits: Overrides,
    /// First part of its topics; absent = `mqtt.topic_prefix`.
    pub topic_prefix: Option<String>,
    /// How an event stands in a message.
    pub encoding: Encoding,
    /// The modules that it gets; absent = all.
    pub modules: Option<Vec<String>>,
    /// Connections over which it is fed, each with a part of the channels.
    pub connections: u16,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            name: "local".to_owned(),
            url: "embedded://127.0.0.1:1883".to_owned(),
            username: None,
            password_file: None,
            password_env: None,
            credentials: None,
            client_username: None,
            client_password_file: None,
            client_password_env: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            websocket: None,
            public_url: None,
            public_websocket_url: None,
            protocol: Protocol::V5,
            profile: None,
            limits: Overrides::default(),
            topic_prefix: None,
            encoding: Encoding::Structured,
            modules: None,
            connections: 1,
        }
    }
}

/// Hides the password.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("name", &self.name)
            .field("url", &redact::url(&self.url))
            .field("username", &self.username)
            .field("password_file", &self.password_file)
            .field("password_env", &self.password_env)
            .field("credentials", &self.credentials)
            .field("client_username", &self.client_username)
            .field("client_password_file", &self.client_password_file)
            .field("client_password_env", &self.client_password_env)
            .field("ca_file", &self.ca_file)
            .field("client_cert_file", &self.client_cert_file)
            .field("client_key_file", &self.client_key_file)
            .field("websocket", &self.websocket)
            .field("public_url", &self.public_url.as_deref().map(redact::url))
            .field(
                "public_websocket_url",
                &self.public_websocket_url.as_deref().map(redact::url),
            )
            .field("protocol", &self.protocol)
            .field("profile", &self.profile)
            .field("limits", &self.limits)
            .field("topic_prefix", &self.topic_prefix)
            .field("encoding", &self.encoding)
            .field("modules", &self.modules)
            .field("connections", &self.connections)
            .finish()
    }
}

impl Target {
    /// What it is.
    pub fn effective_profile(&self) -> Profile {
        let embedded = || self.url.starts_with("embedded:");
        self.profile.unwrap_or(if embedded() {
            Profile::Embedded
        } else {
            Profile::Mqtt
        })
    }

    /// What it takes, as far as the configuration knows.
    pub fn broker_limits(&self) -> BrokerLimits {
        self.limits.over(self.effective_profile().limits())
    }

    /// Where and how to reach the broker.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&self.url).expect("the URL of a loaded target was checked")
    }

    /// The addresses that an embedded broker listens on, with the key of each below the target.
    pub(in crate::config) fn listeners(&self) -> Vec<(&'static str, SocketAddr)> {
        let Some(mqtt) = Endpoint::parse(&self.url)
            .ok()
            .and_then(|e| e.listen_addr())
        else {
            return Vec::new();
        };
        let mut all = vec![("url", mqtt)];
        all.extend(self.websocket.map(|address| ("websocket", address)));
        all
    }
}
