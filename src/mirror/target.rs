//! One target as the publisher needs it.

use std::time::Duration;

use super::mqtt::{Endpoint, LinkOptions};
use crate::{
    config::{self, targets::Encoding},
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
    /// How an event stands in a message.
    pub encoding: Encoding,
    /// The modules that it gets; absent = all.
    pub modules: Option<Vec<ModuleName>>,
}

/// A broker keeps our session for a day: long enough to tell a restarted gateway from a broker
/// that lost its state, short enough that replicas which are gone leave nothing behind.
const SESSION: Duration = Duration::from_hours(24);

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
        Ok(Self {
            name: target.name.clone(),
            endpoint: Endpoint::parse(&target.url, target.protocol)?,
            client_id: client_id(client_id_prefix, instance, number),
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
}

/// rumqttc panics on a shorter one.
const MIN_KEEP_ALIVE_S: u16 = 5;

/// `{prefix}-{instance}-{number}` in the letters that every broker takes. Two instances that
/// differ only in other letters keep different ids by a hash of the original.
pub fn client_id(prefix: &str, instance: &str, number: usize) -> String {
    let wanted = format!("{prefix}-{instance}-{number}");
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if wanted.len() <= MAX_CLIENT_ID && wanted.chars().all(plain) {
        return wanted;
    }
    let mut source = wanted.as_bytes();
    let hash = murmur3::murmur3_32(&mut source, 0).expect("reading from memory does not fail");
    let shown = wanted.chars().map(|c| if plain(c) { c } else { '_' });
    let shown: String = shown.take(MAX_CLIENT_ID - 9).collect();
    format!("{shown}-{hash:08x}")
}

/// The longest client id of the managed brokers that we know.
const MAX_CLIENT_ID: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_are_plain_and_differ() {
        assert_eq!(client_id("changeover", "gw-1", 1), "changeover-gw-1-1");
        let a = client_id("changeover", "host:8080", 1);
        let b = client_id("changeover", "host_8080", 1);
        assert_ne!(a, b);
        assert!(a.starts_with("changeover-host_8080-1-"), "{a}");
        assert!(client_id("c", &"ü".repeat(200), 1).len() <= 64);
    }
}
