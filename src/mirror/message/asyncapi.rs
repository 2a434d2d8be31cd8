//! The description of the topics: an `AsyncAPI` 3.0 document, made from the configuration.
//!
//! Invariants: it tells what clients are told anyway, and of a broker's URL never the user and password; the messages are described by
//! the types that are published.

mod feeds;

use std::{collections::BTreeMap, net::SocketAddr};

use serde::Serialize;
use serde_json::Value;
use url::Url;
use utoipa::openapi::{RefOr, Schema};

use self::feeds::{Feed, messages};
use super::event;
use crate::{
    config::{
        endpoint::BrokerKind,
        mqtt::{Mqtt, Target},
    },
    domain::ModuleName,
};

/// Where MQTT is if a URL names no port, plain and over TLS.
const PLAIN_PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;

/// The whole document.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AsyncApi {
    asyncapi: &'static str,
    info: Info,
    default_content_type: &'static str,
    servers: BTreeMap<String, Server>,
    channels: BTreeMap<String, Channel>,
    operations: BTreeMap<String, Operation>,
    components: Components,
}

#[derive(Debug, Clone, Serialize)]
struct Info {
    title: &'static str,
    version: &'static str,
    description: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pathname: Option<String>,
    protocol: &'static str,
    protocol_version: &'static str,
    description: String,
}

#[derive(Debug, Clone, Serialize)]
struct Channel {
    address: String,
    description: &'static str,
    /// Absent = all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    servers: Vec<Reference>,
    parameters: BTreeMap<&'static str, Parameter>,
    messages: BTreeMap<&'static str, Reference>,
}

#[derive(Debug, Clone, Serialize)]
struct Parameter {
    description: &'static str,
    #[serde(rename = "enum", skip_serializing_if = "Vec::is_empty")]
    one_of: Vec<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    examples: &'static [&'static str],
}

#[derive(Debug, Clone, Serialize)]
struct Operation {
    action: &'static str,
    channel: Reference,
    summary: &'static str,
    messages: Vec<Reference>,
    bindings: Value,
}

#[derive(Clone, Serialize)]
struct Components {
    messages: BTreeMap<&'static str, Message>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    title: &'static str,
    summary: &'static str,
    content_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Value>,
    payload: RefOr<Schema>,
}

#[derive(Debug, Clone, Serialize)]
struct Reference {
    #[serde(rename = "$ref")]
    to: String,
}

/// Where the embedded broker listens, whatever port was asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bound {
    /// MQTT.
    pub mqtt: Option<SocketAddr>,
    /// MQTT over WebSocket.
    pub websocket: Option<SocketAddr>,
}

impl AsyncApi {
    /// Describes the topics of these modules.
    pub fn new<'m>(
        config: &Mqtt,
        bound: Bound,
        modules: impl IntoIterator<Item = &'m ModuleName>,
    ) -> Self {
        let mut modules: Vec<_> = modules.into_iter().collect();
        modules.sort_unstable();
        let targets = config.effective_targets();
        let of_targets = targets
            .iter()
            .map(|target| (target, servers(target, bound)));
        let of_targets: Vec<_> = of_targets.collect();
        let feeds = Feed::all(config, &of_targets, &modules);
        let described = of_targets
            .into_iter()
            .flat_map(|(_, servers)| servers)
            .collect();
        Self {
            asyncapi: "3.0.0",
            info: Info {
                title: "changeover, the topics",
                version: env!("CARGO_PKG_VERSION"),
                description: "The changes of each module's log, as the gateway publishes them on every broker that it feeds, and how far each broker is.",
            },
            default_content_type: event::CONTENT_TYPE,
            servers: described,
            channels: feeds.iter().flat_map(Feed::channels).collect(),
            operations: feeds.iter().flat_map(Feed::operations).collect(),
            components: Components {
                messages: messages(&feeds),
            },
        }
    }
}

/// As clients find the target.
fn servers(target: &Target, bound: Bound) -> Vec<(String, Server)> {
    let version = target.protocol.as_str();
    // What the gateway itself uses may be the one or the other.
    let own = || own(target, bound);
    let by_websocket = target.endpoint().websocket.is_some();
    let mqtt = match &target.public_url {
        Some(url) => public(url, version),
        None => own().filter(|_| !by_websocket),
    };
    let websocket = match (&target.public_websocket_url, target.websocket) {
        (Some(url), _) => public(url, version),
        (None, Some(address)) => {
            let address = bound.websocket.unwrap_or(address);
            let url = format!("ws://{address}");
            public(&url, version)
        }
        (None, None) => own().filter(|_| by_websocket),
    };
    let name = &target.name;
    let over_mqtt = mqtt.map(|server| (name.clone(), server));
    let over_websocket = websocket.map(|server| (websocket_name(target), server));
    over_mqtt.into_iter().chain(over_websocket).collect()
}

/// The address that the gateway itself uses, without user and password.
fn own(target: &Target, bound: Bound) -> Option<Server> {
    let endpoint = target.endpoint();
    let version = target.protocol.as_str();
    let address = match endpoint.kind {
        BrokerKind::Embedded => bound.mqtt.or_else(|| endpoint.listen_addr())?,
        BrokerKind::Mqtt => return public(&target.url, version),
    };
    public(&format!("mqtt://{address}"), version)
}

/// Takes apart a URL; its user and password, which only the gateway's own may hold, stay out.
fn public(url: &str, protocol_version: &'static str) -> Option<Server> {
    let url = Url::parse(url).ok()?;
    let (protocol, port, description) = match url.scheme() {
        "mqtt" => ("mqtt", Some(PLAIN_PORT), "MQTT over TCP"),
        "mqtts" => ("mqtts", Some(TLS_PORT), "MQTT over TLS"),
        "ws" => ("ws", url.port_or_known_default(), "MQTT over WebSocket"),
        "wss" => (
            "wss",
            url.port_or_known_default(),
            "MQTT over WebSocket and TLS",
        ),
        _ => return None,
    };
    let port = url.port().or(port)?;
    Some(Server {
        host: format!("{}:{port}", url.host_str()?),
        pathname: Some(url.path().to_owned()).filter(|path| path.len() > 1),
        protocol,
        protocol_version,
        description: description.to_owned(),
    })
}

/// Where clients find the target, over MQTT and over WebSocket.
pub(in crate::mirror) fn urls(target: &Target, bound: Bound) -> [Option<String>; 2] {
    let servers = servers(target, bound);
    let url = |name: &str| {
        let (_, server) = servers.iter().find(|(one, _)| one == name)?;
        let path = server.pathname.as_deref().unwrap_or_default();
        Some(format!("{}://{}{path}", server.protocol, server.host))
    };
    [url(&target.name), url(&websocket_name(target))]
}

fn websocket_name(target: &Target) -> String {
    format!("{}-websocket", target.name)
}

fn refer(to: &str) -> Reference {
    Reference { to: to.to_owned() }
}

#[cfg(test)]
#[path = "asyncapi_tests.rs"]
mod tests;
