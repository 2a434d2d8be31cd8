//! The description of the topics: an `AsyncAPI` 3.0 document, made from the configuration.
//!
//! Invariants: it tells what clients are told anyway, and of a broker's URL never the user and password; the messages are described by
//! the types that are published.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::Serialize;
use serde_json::{Value, json};
use url::Url;
use utoipa::{
    PartialSchema,
    openapi::{RefOr, Schema},
};

use super::{ChangeEvent, PointerEvent, bookmark, event};
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
    channels: BTreeMap<&'static str, Channel>,
    operations: BTreeMap<&'static str, Operation>,
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
        let mut names: Vec<_> = modules.into_iter().map(ToString::to_string).collect();
        names.sort_unstable();
        let targets = config.effective_targets();
        Self {
            asyncapi: "3.0.0",
            info: Info {
                title: "changeover, the topics",
                version: env!("CARGO_PKG_VERSION"),
                description: "The changes of each module's log, as the gateway publishes them on every broker that it feeds, and how far each broker is.",
            },
            default_content_type: event::CONTENT_TYPE,
            servers: targets
                .iter()
                .flat_map(|target| servers(target, bound))
                .collect(),
            channels: channels(config.topic_prefix.trim_end_matches('/'), &names),
            operations: operations(),
            components: Components {
                messages: messages(),
            },
        }
    }
}

/// As clients find the target.
fn servers(target: &Target, bound: Bound) -> Vec<(String, Server)> {
    let version = target.protocol.as_str();
    let mqtt = match &target.public_url {
        Some(url) => public(url, version),
        None => Some(own(target, bound)),
    };
    let websocket = match (&target.public_websocket_url, target.websocket) {
        (Some(url), _) => public(url, version),
        (None, Some(address)) => {
            let address = bound.websocket.unwrap_or(address);
            let url = format!("ws://{address}");
            public(&url, version)
        }
        (None, None) => None,
    };
    let name = &target.name;
    let over_mqtt = mqtt.map(|server| (name.clone(), server));
    let over_websocket = websocket.map(|server| (format!("{name}-websocket"), server));
    over_mqtt.into_iter().chain(over_websocket).collect()
}

/// The address that the gateway itself uses, without user and password.
fn own(target: &Target, bound: Bound) -> Server {
    let endpoint = target.endpoint();
    let embedded = bound.mqtt.filter(|_| endpoint.kind == BrokerKind::Embedded);
    let host = match embedded {
        Some(address) => address.to_string(),
        None if endpoint.host.contains(':') => format!("[{}]:{}", endpoint.host, endpoint.port),
        None => format!("{}:{}", endpoint.host, endpoint.port),
    };
    Server {
        host,
        pathname: None,
        protocol: "mqtt",
        protocol_version: target.protocol.as_str(),
        description: "MQTT over TCP".to_owned(),
    }
}

/// Takes apart what clients are told. It holds neither user nor password: the configuration was checked.
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

fn channels(prefix: &str, modules: &[String]) -> BTreeMap<&'static str, Channel> {
    let module = || Parameter {
        description: "a module",
        one_of: modules.to_vec(),
        examples: &[],
    };
    let audience = Parameter {
        description: "An audience. `*`, which is everyone, is written `_all`, an audience's own leading `_` as `=5F`, and each byte outside `[A-Za-z0-9_-]` as `=XX` in hexadecimal. Where the topic would be longer than this broker takes, it is `=h` and the first 26 characters of the base32 of the audience's SHA-256: take topics from the gateway, do not compute them.",
        one_of: Vec::new(),
        examples: &["_all", "account-17"],
    };
    let message = |name| (name, refer(&format!("#/components/messages/{name}")));
    BTreeMap::from([
        (
            "changes",
            Channel {
                address: format!("{prefix}/c/{{module}}/{{audience}}"),
                description: "The changes of one module for one audience, in the order of their positions.",
                parameters: BTreeMap::from([("module", module()), ("audience", audience)]),
                messages: BTreeMap::from([message("change"), message("pointer")]),
            },
        ),
        (
            "bookmarks",
            Channel {
                address: format!("{prefix}/m/{{module}}"),
                description: "How far this broker is with a module, and where the module is on its way; retained.",
                parameters: BTreeMap::from([("module", module())]),
                messages: BTreeMap::from([message("bookmark")]),
            },
        ),
    ])
}

fn operations() -> BTreeMap<&'static str, Operation> {
    let sends = |channel: &str, messages: &[&str], summary, retain| Operation {
        action: "send",
        channel: refer(&format!("#/channels/{channel}")),
        summary,
        messages: messages
            .iter()
            .map(|message| refer(&format!("#/channels/{channel}/messages/{message}")))
            .collect(),
        bindings: json!({"mqtt": {"qos": 1, "retain": retain, "bindingVersion": "0.2.0"}}),
    };
    BTreeMap::from([
        (
            "publishChanges",
            sends(
                "changes",
                &["change", "pointer"],
                "every change of the log, at least once",
                false,
            ),
        ),
        (
            "publishBookmarks",
            sends(
                "bookmarks",
                &["bookmark"],
                "on each act, and at an interval",
                true,
            ),
        ),
    ])
}

fn messages() -> BTreeMap<&'static str, Message> {
    BTreeMap::from([
        (
            "change",
            Message {
                title: "A change",
                summary: "One CloudEvent in structured JSON. `(epoch, sequence)` says what a client has already; `previous` whether it has missed something.",
                content_type: event::CONTENT_TYPE,
                payload: ChangeEvent::schema(),
            },
        ),
        (
            "pointer",
            Message {
                title: "A pointer",
                summary: "A change that this broker does not take whole: its `CloudEvent` without `data`, with `dataref`. A client takes it for a gap and reads from its own cursor.",
                content_type: event::CONTENT_TYPE,
                payload: PointerEvent::schema(),
            },
        ),
        (
            "bookmark",
            Message {
                title: "A bookmark",
                summary: "`head`: everything up to it was acknowledged by this broker.",
                content_type: bookmark::CONTENT_TYPE,
                payload: bookmark::schema(),
            },
        ),
    ])
}

fn refer(to: &str) -> Reference {
    Reference { to: to.to_owned() }
}

#[cfg(test)]
#[path = "asyncapi_tests.rs"]
mod tests;
