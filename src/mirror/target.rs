//! One target as the publisher needs it.

use std::time::Duration;

use super::{
    Pointers,
    mqtt::{Endpoint, LinkOptions},
    topic::Topics,
};
use crate::{
    config::{self, profile::BrokerLimits, targets::Encoding},
    domain::ModuleName,
};

/// A broker to feed.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name in the database, metrics and commands.
    pub name: String,
    /// Where it is and who we are.
    pub endpoint: Endpoint,
    /// Our MQTT client id, unique per replica and target.
    pub client_id: String,
    /// What its profile and its `limits` say that it takes.
    pub limits: BrokerLimits,
    /// The largest packet that it takes, if that is known before it says so.
    pub packet_bytes: Option<usize>,
    /// How changes are told that it does not take whole.
    pub pointers: Pointers,
    /// The MQTT client id of the subscriber that reads back what was published.
    pub verifier_client_id: String,
    /// How an event stands in a message.
    pub encoding: Encoding,
    /// The modules that it gets; absent = all.
    pub modules: Option<Vec<ModuleName>>,
}

/// A broker keeps our session for a day: long enough to tell a restarted gateway from a broker
/// that lost its state, short enough that replicas which are gone leave nothing behind.
const SESSION: Duration = Duration::from_hours(24);

/// The largest packet that MQTT knows: a verifier takes what any client is sent.
const MAX_PACKET_BYTES: u32 = 268_435_455;

/// What is sent to us is our own retained messages, each below this.
const MAX_INCOMING_BYTES: u32 = 1024 * 1024;

impl Target {
    /// The `number`th target of the configuration, from 1. `instance` is `server.instance`.
    pub fn new(
        target: &config::mqtt::Target,
        client_id_prefix: &str,
        instance: &str,
        number: usize,
    ) -> Result<Self, String> {
        let limits = target.broker_limits();
        let longest = limits.client_id_bytes;
        Ok(Self {
            name: target.name.clone(),
            endpoint: Endpoint::of(target)?,
            client_id: client_id(client_id_prefix, instance, number, longest),
            verifier_client_id: client_id(
                client_id_prefix,
                &format!("{instance}-verifier"),
                number,
                longest,
            ),
            limits,
            packet_bytes: None,
            pointers: Pointers::default(),
            encoding: target.encoding,
            modules: target.module_names(),
        })
    }

    /// Whether it gets the changes of a module.
    pub fn takes(&self, module: &ModuleName) -> bool {
        let modules = self.modules.as_ref();
        modules.is_none_or(|modules| modules.contains(module))
    }

    pub(super) fn link_options(&self, mirror: &config::mirror::Mirror) -> LinkOptions {
        LinkOptions {
            endpoint: self.endpoint.clone(),
            client_id: self.client_id.clone(),
            keep_alive: Duration::from_secs(mirror.keep_alive_s.max(MIN_KEEP_ALIVE_S).into()),
            inflight: mirror.inflight,
            session: Some(SESSION),
            max_packet_bytes: MAX_INCOMING_BYTES,
        }
    }

    /// The verifier's connection: a client like others, that keeps no session.
    pub(super) fn verifier_options(&self, mirror: &config::mirror::Mirror) -> LinkOptions {
        LinkOptions {
            client_id: self.verifier_client_id.clone(),
            inflight: 1,
            session: None,
            max_packet_bytes: MAX_PACKET_BYTES,
            ..self.link_options(mirror)
        }
    }

    /// What the verifier subscribes to.
    #[expect(
        clippy::unused_self,
        reason = "which filters a broker takes is the target's to say"
    )]
    pub(super) fn verifier_filters(&self, topics: &Topics) -> Vec<String> {
        vec![topics.every_channel()]
    }
}

/// rumqttc panics on a shorter one.
const MIN_KEEP_ALIVE_S: u16 = 5;

/// `{prefix}-{instance}-{number}` in the letters that every broker takes, and the `@` of Aliyun's groups,
/// of at most so many bytes. Two instances that differ only in other letters keep different ids by a hash of the
/// original.
pub fn client_id(prefix: &str, instance: &str, number: usize, longest: usize) -> String {
    let longest = longest.min(MAX_CLIENT_ID);
    let wanted = format!("{prefix}-{instance}-{number}");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '@');
    if wanted.len() <= longest && wanted.chars().all(plain) {
        return wanted;
    }
    let mut source = wanted.as_bytes();
    let hash = murmur3::murmur3_32(&mut source, 0).expect("reading from memory does not fail");
    let shown = wanted.chars().map(|c| if plain(c) { c } else { '_' });
    let shown: String = shown.take(longest - 9).collect();
    format!("{shown}-{hash:08x}")
}

/// The longest client id of the managed brokers that we know.
const MAX_CLIENT_ID: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_are_plain_and_differ() {
        let client_id = |prefix, instance: &str, longest| client_id(prefix, instance, 1, longest);
        assert_eq!(client_id("changeover", "gw-1", 999), "changeover-gw-1-1");
        assert_eq!(client_id("GID_x@@@gw", "a", 64), "GID_x@@@gw-a-1");
        let a = client_id("changeover", "host:8080", 64);
        let b = client_id("changeover", "host_8080", 64);
        assert_ne!(a, b);
        assert!(a.starts_with("changeover-host_8080-1-"), "{a}");
        assert!(client_id("c", &"ü".repeat(200), 999).len() <= 64);
        let short = client_id("changeover", "gateway-12", 22);
        assert!(
            short.len() == 22 && short.starts_with("changeover-ga-"),
            "{short}"
        );
    }
}
