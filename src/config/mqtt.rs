//! `[mqtt]`: brokers and topics.

use std::{fmt, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    Problems,
    endpoint::{BrokerKind, Endpoint},
    profile::{BrokerLimits, Overrides, Profile},
    redact,
    targets::Encoding,
};

/// Topics and the brokers that the mirror feeds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mqtt {
    /// First part of every topic.
    pub topic_prefix: String,
    /// First part of the gateway's own MQTT client ids.
    pub client_id_prefix: String,
    /// The brokers; none = the embedded broker at `embedded://127.0.0.1:1883`.
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
}

impl Default for Target {
    fn default() -> Self {
        Self {
            name: "local".to_owned(),
            url: "embedded://127.0.0.1:1883".to_owned(),
            username: None,
            password_file: None,
            password_env: None,
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
        }
    }
}

/// A version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Protocol {
    /// MQTT 5.
    V5,
    /// MQTT 3.1.1.
    V311,
}

impl Protocol {
    /// As it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V5 => "5",
            Self::V311 => "3.1.1",
        }
    }
}

impl TryFrom<String> for Protocol {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "5" => Ok(Self::V5),
            "3.1.1" => Ok(Self::V311),
            other => Err(format!(
                "`{}` must be \"5\" or \"3.1.1\"",
                other.escape_debug()
            )),
        }
    }
}

impl From<Protocol> for String {
    fn from(protocol: Protocol) -> Self {
        protocol.as_str().to_owned()
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
            .finish()
    }
}

/// The longest topic prefix: with module and audience a topic stays portable.
const TOPIC_PREFIX_BYTES: usize = 64;

/// The longest client id prefix.
const CLIENT_ID_PREFIX_BYTES: usize = 32;

/// The longest target name.
const TARGET_NAME_BYTES: usize = 32;

impl Mqtt {
    /// The configured targets, or the embedded broker at its default address.
    pub fn effective_targets(&self) -> Vec<Target> {
        if self.targets.is_empty() {
            return vec![Target::default()];
        }
        self.targets.clone()
    }

    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        if let Err(why) = check_topic_prefix(&self.topic_prefix) {
            problems.push(format!("{path}.topic_prefix"), why);
        }
        let prefix = &self.client_id_prefix;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '@');
        if prefix.is_empty() || prefix.len() > CLIENT_ID_PREFIX_BYTES || !prefix.chars().all(plain)
        {
            problems.push(
                format!("{path}.client_id_prefix"),
                format!(
                    "must be 1 to {CLIENT_ID_PREFIX_BYTES} characters of A-Z, a-z, 0-9, `_`, `-` and `@`"
                ),
            );
        }
        self.validate_targets(&format!("{path}.targets"), problems);
    }

    fn validate_targets(&self, path: &str, problems: &mut Problems) {
        for (n, target) in self.targets.iter().enumerate() {
            target.validate(&format!("{path}[{n}]"), problems);
            if let Some(first) = self.targets[..n].iter().position(|t| t.name == target.name) {
                problems.push(
                    format!("{path}[{n}].name"),
                    format!(
                        "`{}` is already the name of {path}[{first}]",
                        target.name.escape_debug()
                    ),
                );
            }
        }
        if self.targets.is_empty() && !cfg!(feature = "embedded-broker") {
            problems.push(
                path,
                "none is configured, and this build has no embedded broker: name one with url = \"mqtt://host:1883\"",
            );
        }
    }
}

fn check_topic_prefix(prefix: &str) -> Result<(), &'static str> {
    if prefix.is_empty() || prefix.len() > TOPIC_PREFIX_BYTES {
        return Err("must have 1 to 64 bytes");
    }
    if prefix.contains(['+', '#']) {
        return Err("must not contain the wildcards `+` and `#`");
    }
    if prefix.split('/').any(str::is_empty) {
        return Err("must not begin or end with `/` or contain `//`");
    }
    if prefix.starts_with('$') {
        return Err("must not begin with `$`: brokers keep such topics for themselves");
    }
    if prefix.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    Ok(())
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
    pub(super) fn listeners(&self) -> Vec<(&'static str, SocketAddr)> {
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

    fn validate(&self, path: &str, problems: &mut Problems) {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let name = &self.name;
        if name.is_empty() || name.len() > TARGET_NAME_BYTES || !name.bytes().all(plain) {
            problems.push(
                format!("{path}.name"),
                format!("must be 1 to {TARGET_NAME_BYTES} characters of a-z, 0-9 and `-`"),
            );
        }
        if let Some(why) = self
            .topic_prefix
            .as_deref()
            .and_then(|p| check_topic_prefix(p).err())
        {
            problems.push(format!("{path}.topic_prefix"), why);
        }
        match Endpoint::parse(&self.url) {
            Ok(endpoint) => {
                self.validate_kind(&endpoint, path, problems);
                self.validate_link(&endpoint, path, problems);
            }
            Err(why) => problems.push(format!("{path}.url"), why),
        }
        self.limits.validate(&format!("{path}.limits"), problems);
        let public = [
            ("public_url", &self.public_url, ["mqtt", "mqtts"]),
            (
                "public_websocket_url",
                &self.public_websocket_url,
                ["ws", "wss"],
            ),
        ];
        for (key, url, schemes) in public {
            if let Some(why) = url.as_deref().and_then(|url| check_public(url, schemes)) {
                problems.push(format!("{path}.{key}"), why);
            }
        }
    }

    fn validate_kind(&self, endpoint: &Endpoint, path: &str, problems: &mut Problems) {
        let embedded = endpoint.kind == BrokerKind::Embedded;
        if embedded && !cfg!(feature = "embedded-broker") {
            problems.push(
                format!("{path}.url"),
                "this build has no embedded broker: use mqtt://host:1883, or build with the feature `embedded-broker`",
            );
        }
        if !embedded && self.websocket.is_some() {
            problems.push(
                format!("{path}.websocket"),
                "is for embedded:// targets: an external broker opens its own, say where with public_websocket_url",
            );
        }
    }
}

fn check_public(url: &str, schemes: [&str; 2]) -> Option<String> {
    let [plain, tls] = schemes;
    let parsed = match url::Url::parse(url) {
        Ok(parsed) if schemes.contains(&parsed.scheme()) => parsed,
        _ => return Some(format!("must be a {plain}:// or {tls}:// URL")),
    };
    if parsed.host_str().is_none_or(str::is_empty) {
        return Some(format!("names no host: write {plain}://host:port"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Some("must not hold a user or password: every client is told this URL".to_owned());
    }
    None
}
