//! A target: one broker as the publisher needs it; what operators want of it, and how it stands.

mod acts;
mod observer;
mod standings;
mod standings_reader;
mod status;

pub use acts::{TargetActs, TargetAsked, TargetRefused};
pub use observer::Observer;
pub use standings::{StandingChanges, Standings};
pub use standings_reader::StandingsReader;
pub use status::{ModuleStatus, Status, TargetStatus};

use std::time::Duration;

use crate::{
    config::{self, profile::BrokerLimits, targets::Encoding},
    domain::ModuleName,
    mirror::{
        message::{Pointers, topic::Topics},
        mqtt::{Endpoint, LinkOptions},
    },
};

/// A broker to feed.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name in the database, metrics and commands.
    pub name: String,
    /// Where it is and who we are.
    pub endpoint: Endpoint,
    /// Our MQTT client id on the first connection, unique per replica and target.
    pub client_id: String,
    /// How many connections it is fed over.
    pub connections: usize,
    /// What its profile and its `limits` say that it takes.
    pub limits: BrokerLimits,
    /// The largest packet that it takes, if that is known before it says so.
    pub packet_bytes: Option<usize>,
    /// How changes are told that it does not take whole.
    pub pointers: Pointers,
    /// The MQTT client id of the subscriber that reads back what was published.
    pub verifier_client_id: String,
    /// The MQTT client id of the connection on which clients are made.
    pub keeper_client_id: String,
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

/// The largest list of clients that is taken in, also one that another replica asked for.
const MAX_LIST_BYTES: u32 = 4 * 1024 * 1024;

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
            connections: target.connections.into(),
            verifier_client_id: client_id(
                client_id_prefix,
                &format!("{instance}-verifier"),
                number,
                longest,
            ),
            keeper_client_id: client_id(
                client_id_prefix,
                &format!("{instance}-clients"),
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

    /// Our MQTT client id on a connection. The first one's ends in the target's number, the others' in `_2`, `_3` …, as
    /// no target's number does.
    pub fn client_id_on(&self, line: usize) -> String {
        if line == 0 {
            return self.client_id.clone();
        }
        let wanted = format!("{}_{}", self.client_id, line + 1);
        fitted(&wanted, self.limits.client_id_bytes)
    }

    /// What may be under way at once on each connection: they share `mirror.inflight`.
    pub(super) fn inflight(&self, mirror: &config::mirror::Mirror) -> u16 {
        let lines = u16::try_from(self.connections).unwrap_or(u16::MAX);
        (mirror.inflight / lines.max(1)).max(1)
    }

    /// How many changes of a module the mirror holds before it reads no more: those since the first that is not
    /// acknowledged. While one connection stands still, the others go on for so long.
    pub(super) fn span(mirror: &config::mirror::Mirror) -> usize {
        let batch = usize::try_from(mirror.batch).unwrap_or(usize::MAX);
        usize::from(mirror.inflight).saturating_add(batch.saturating_mul(SPAN_BATCHES))
    }

    /// How far beyond the first change that is not acknowledged another may be on its way.
    pub(super) fn slack(&self, mirror: &config::mirror::Mirror) -> u64 {
        if self.connections < 2 {
            return mirror.inflight.into();
        }
        u64::try_from(Self::span(mirror)).unwrap_or(u64::MAX) + u64::from(mirror.batch)
    }

    pub(super) fn link_options(&self, mirror: &config::mirror::Mirror, line: usize) -> LinkOptions {
        LinkOptions {
            endpoint: self.endpoint.clone(),
            client_id: self.client_id_on(line),
            keep_alive: Duration::from_secs(mirror.keep_alive_s.max(MIN_KEEP_ALIVE_S).into()),
            inflight: self.inflight(mirror),
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
            ..self.link_options(mirror, 0)
        }
    }

    /// The connection on which clients are made. It keeps no session.
    pub(super) fn keeper_options(&self, mirror: &config::mirror::Mirror) -> LinkOptions {
        LinkOptions {
            client_id: self.keeper_client_id.clone(),
            inflight: 1,
            session: None,
            max_packet_bytes: MAX_LIST_BYTES,
            ..self.link_options(mirror, 0)
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

/// Batches that may be read beyond the first change that is not acknowledged.
const SPAN_BATCHES: usize = 4;

/// rumqttc panics on a shorter one.
const MIN_KEEP_ALIVE_S: u16 = 5;

/// `{prefix}-{instance}-{number}` in the letters that every broker takes, and the `@` of Aliyun's groups,
/// of at most so many bytes. Two instances that differ only in other letters keep different ids by a hash of the
/// original.
pub fn client_id(prefix: &str, instance: &str, number: usize, longest: usize) -> String {
    fitted(&format!("{prefix}-{instance}-{number}"), longest)
}

fn fitted(wanted: &str, longest: usize) -> String {
    let longest = longest.min(MAX_CLIENT_ID);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '@');
    if wanted.len() <= longest && wanted.chars().all(plain) {
        return wanted.to_owned();
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
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_connection_has_its_own_client_id() {
        for longest in [64, 20] {
            let config = config::mqtt::Target {
                connections: 16,
                limits: config::profile::Overrides {
                    client_id_bytes: Some(longest),
                    ..config::profile::Overrides::default()
                },
                ..config::mqtt::Target::default()
            };
            let of = |number| Target::new(&config, "changeover", "gw", number).unwrap();
            let ids: BTreeSet<_> = (1..=16)
                .flat_map(|number| (0..16).map(move |line| of(number).client_id_on(line)))
                .collect();
            assert_eq!(ids.len(), 16 * 16);
            assert!(ids.iter().all(|id| id.len() <= longest), "{ids:?}");
            if longest == 64 {
                assert!(ids.contains("changeover-gw-1") && ids.contains("changeover-gw-1_16"));
            }
        }
    }

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
