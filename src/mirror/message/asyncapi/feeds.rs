//! What stands on the topics: the same for all targets, or described for those apart that differ.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::PartialSchema;

use super::{Channel, Message, Operation, Parameter, Reference, Server, refer};
use crate::{
    config::{
        mqtt::{Mqtt, Target},
        targets::Encoding,
    },
    domain::ModuleName,
    mirror::message::{ChangeEvent, PointerEvent, binary_event, bookmark, event},
};

/// Targets with the same topics, modules and form of the events.
pub(super) struct Feed {
    /// What its entries end with; empty if it is the only one.
    suffix: String,
    prefix: String,
    encoding: Encoding,
    modules: Vec<String>,
    /// Names of the servers; empty = all.
    servers: Vec<String>,
}

impl Feed {
    /// The feeds of all targets, each with its servers.
    pub(super) fn all(
        config: &Mqtt,
        targets: &[(&Target, Vec<(String, Server)>)],
        modules: &[&ModuleName],
    ) -> Vec<Self> {
        let mut feeds: Vec<Self> = Vec::new();
        for (target, servers) in targets {
            let mut feed = Self::new(config, target, modules);
            feed.servers = servers.iter().map(|(name, _)| name.clone()).collect();
            match feeds.iter_mut().find(|known| known.is_like(&feed)) {
                Some(known) => known.servers.append(&mut feed.servers),
                None => feeds.push(feed),
            }
        }
        if let [only] = &mut feeds[..] {
            only.suffix.clear();
            only.servers.clear();
        }
        feeds
    }

    fn new(config: &Mqtt, target: &Target, modules: &[&ModuleName]) -> Self {
        let taken = modules.iter().filter(|module| target.takes(module));
        let prefix = target.effective_prefix(config).trim_end_matches('/');
        Self {
            suffix: format!("-{}", target.name),
            prefix: prefix.to_owned(),
            encoding: target.encoding,
            modules: taken.map(ToString::to_string).collect(),
            servers: Vec::new(),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        (&self.prefix, self.encoding, &self.modules)
            == (&other.prefix, other.encoding, &other.modules)
    }

    const fn change(&self) -> &'static str {
        match self.encoding {
            Encoding::Structured => "change",
            Encoding::Binary => "binaryChange",
        }
    }

    /// What stands on the topics of changes.
    const fn on_changes(&self) -> [&'static str; 2] {
        [self.change(), "pointer"]
    }

    pub(super) fn channels(&self) -> [(String, Channel); 2] {
        let module = || Parameter {
            description: "a module",
            one_of: self.modules.clone(),
            examples: &[],
        };
        let audience = Parameter {
            description: "An audience. `*`, which is everyone, is written `_all`, an audience's own leading `_` as `=5F`, and each byte outside `[A-Za-z0-9_-]` as `=XX` in hexadecimal. Where the topic would be longer than this broker takes, it is `=h` and the first 26 characters of the base32 of the audience's SHA-256: take topics from the gateway, do not compute them.",
            one_of: Vec::new(),
            examples: &["_all", "account-17"],
        };
        let (prefix, suffix) = (&self.prefix, &self.suffix);
        [
            (
                format!("changes{suffix}"),
                Channel {
                    address: format!("{prefix}/c/{{module}}/{{audience}}"),
                    description: "The changes of one module for one audience, in the order of their positions.",
                    servers: self.servers(),
                    parameters: BTreeMap::from([("module", module()), ("audience", audience)]),
                    messages: messages_of(&self.on_changes()),
                },
            ),
            (
                format!("bookmarks{suffix}"),
                Channel {
                    address: format!("{prefix}/m/{{module}}"),
                    description: "How far this broker is with a module, and where the module is on its way; retained.",
                    servers: self.servers(),
                    parameters: BTreeMap::from([("module", module())]),
                    messages: messages_of(&["bookmark"]),
                },
            ),
        ]
    }

    fn servers(&self) -> Vec<Reference> {
        let servers = self.servers.iter();
        servers
            .map(|name| refer(&format!("#/servers/{name}")))
            .collect()
    }

    pub(super) fn operations(&self) -> [(String, Operation); 2] {
        let suffix = &self.suffix;
        let sends = |channel: &str, names: &[&str], summary, retain| {
            let channel = format!("#/channels/{channel}{suffix}");
            Operation {
                action: "send",
                summary,
                messages: names
                    .iter()
                    .map(|name| refer(&format!("{channel}/messages/{name}")))
                    .collect(),
                channel: refer(&channel),
                bindings: json!({"mqtt": {"qos": 1, "retain": retain, "bindingVersion": "0.2.0"}}),
            }
        };
        let changes = "every change of the log, at least once";
        let bookmarks = "on each act, and at an interval";
        [
            (
                format!("publishChanges{suffix}"),
                sends("changes", &self.on_changes(), changes, false),
            ),
            (
                format!("publishBookmarks{suffix}"),
                sends("bookmarks", &["bookmark"], bookmarks, true),
            ),
        ]
    }
}

fn messages_of(names: &[&'static str]) -> BTreeMap<&'static str, Reference> {
    let refer = |name: &&'static str| (*name, refer(&format!("#/components/messages/{name}")));
    names.iter().map(refer).collect()
}

/// The messages that the feeds use.
pub(super) fn messages(feeds: &[Feed]) -> BTreeMap<&'static str, Message> {
    let bookmark = Message {
        title: "A bookmark",
        summary: "`head`: everything up to it was acknowledged by this broker.",
        content_type: bookmark::CONTENT_TYPE,
        headers: None,
        payload: bookmark::schema(),
    };
    let pointer = Message {
        title: "A pointer",
        summary: "A change that this broker does not take whole: its `CloudEvent` in structured JSON without `data`, with `dataref`. A client takes it for a gap and reads from its own cursor.",
        content_type: event::CONTENT_TYPE,
        headers: None,
        payload: PointerEvent::schema(),
    };
    let changes = feeds
        .iter()
        .map(|feed| (feed.change(), change(feed.encoding)));
    changes
        .chain([("pointer", pointer), ("bookmark", bookmark)])
        .collect()
}

fn change(encoding: Encoding) -> Message {
    match encoding {
        Encoding::Structured => Message {
            title: "A change",
            summary: "One CloudEvent in structured JSON. `(epoch, sequence)` says what a client has already; `previous` whether it has missed something.",
            content_type: event::CONTENT_TYPE,
            headers: None,
            payload: ChangeEvent::schema(),
        },
        Encoding::Binary => Message {
            title: "A change in binary mode",
            summary: "One CloudEvent: the payload is the value, every other attribute a user property. `(epoch, sequence)` says what a client has already; `previous` whether it has missed something.",
            content_type: binary_event::CONTENT_TYPE,
            headers: Some(user_properties()),
            payload: Value::schema(),
        },
    }
}

/// The attributes without what stands elsewhere in the message.
fn user_properties() -> Value {
    const ELSEWHERE: [&str; 2] = ["data", "datacontenttype"];
    let mut schema = serde_json::to_value(ChangeEvent::schema()).unwrap_or_default();
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.retain(|name, _| !ELSEWHERE.contains(&name.as_str()));
    }
    if let Some(required) = schema["required"].as_array_mut() {
        required.retain(|name| name.as_str().is_some_and(|name| !ELSEWHERE.contains(&name)));
    }
    schema
}
