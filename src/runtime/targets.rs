//! The mirror's targets: the embedded brokers among them bound, a publisher made for each.

use std::{net::SocketAddr, sync::Arc};

use super::{
    StartError,
    entrances::Entrances,
    parts::Parts,
    tasks::{Rank, Tasks},
};
use crate::{
    config::{Config, mqtt},
    cutover::Census,
    domain::SystemClock,
    mirror::{self, Clerk, Publisher, Target, Verifier},
    store::Store,
};

#[cfg(feature = "embedded-broker")]
use crate::{
    broker::{self, EmbeddedBroker, GatewayLogin},
    config::endpoint::BrokerKind,
};

/// The targets, and the embedded broker if one of them is it.
pub(super) struct Targets {
    /// Each with the first part of its topics.
    fed: Vec<(Target, String)>,
    #[cfg(feature = "embedded-broker")]
    brokers: Vec<EmbeddedBroker>,
    /// Where the embedded broker takes MQTT, if there is one.
    pub(super) mqtt: Option<SocketAddr>,
    /// Where it takes MQTT over WebSocket.
    pub(super) websocket: Option<SocketAddr>,
}

impl Targets {
    /// Binds the embedded brokers and takes the URLs of all targets apart.
    pub(super) fn bind(
        config: &Config,
        census: &Arc<Census>,
        entrances: &Entrances,
    ) -> Result<Self, StartError> {
        let mut targets = Self {
            fed: Vec::new(),
            #[cfg(feature = "embedded-broker")]
            brokers: Vec::new(),
            mqtt: None,
            websocket: None,
        };
        let instance = config.server.instance_name();
        let prefix = &config.mqtt.client_id_prefix;
        for (index, target) in config.mqtt.effective_targets().iter().enumerate() {
            let number = index + 1;
            let mut made =
                Target::new(target, prefix, &instance, number).map_err(StartError::Target)?;
            made.pointers = mirror::Pointers::below(config.server.public_url.as_deref());
            targets.embed((config, census, entrances), target, &mut made)?;
            let prefix = target.effective_prefix(&config.mqtt).to_owned();
            targets.fed.push((made, prefix));
        }
        Ok(targets)
    }

    /// If the target is an embedded broker: binds it, and lets the gateway into it.
    #[cfg(feature = "embedded-broker")]
    fn embed(
        &mut self,
        (config, census, entrances): (&Config, &Arc<Census>, &Entrances),
        target: &mqtt::Target,
        made: &mut Target,
    ) -> Result<(), StartError> {
        let endpoint = target.endpoint();
        let (BrokerKind::Embedded, Some(mqtt)) = (endpoint.kind, endpoint.listen_addr()) else {
            return Ok(());
        };
        let addresses = broker::Addresses {
            mqtt,
            websocket: target.websocket,
        };
        let login = GatewayLogin::random(&made.client_id);
        let (passes, census) = (entrances.embedded(), Arc::clone(census));
        let broker = EmbeddedBroker::bind(&config.broker, addresses, &login, passes, census)
            .map_err(|why| StartError::Target(why.to_string()))?;
        let bound = broker.addresses();
        let (user, password) = login.credentials();
        made.packet_bytes = Some(config.broker.packet_bytes);
        made.endpoint.port = bound.mqtt.port();
        made.endpoint = made.endpoint.clone().with_login(user, password);
        self.mqtt = Some(bound.mqtt);
        self.websocket = bound.websocket;
        self.brokers.push(broker);
        Ok(())
    }

    #[cfg(not(feature = "embedded-broker"))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the embedded broker is bound here"
    )]
    fn embed(
        &mut self,
        _of: (&Config, &Arc<Census>, &Entrances),
        _target: &mqtt::Target,
        _made: &mut Target,
    ) -> Result<(), StartError> {
        Ok(())
    }

    /// Starts the brokers and the publishers. Returns how the targets stand from now on.
    pub(super) fn start(self, tasks: &mut Tasks, parts: &Parts) -> mirror::Status {
        #[cfg(feature = "embedded-broker")]
        for broker in self.brokers {
            tasks.spawn(Rank::Broker, "embedded broker", |stop| broker.serve(stop));
        }
        let mut status = Vec::new();
        for (target, prefix) in self.fed {
            let settings = &parts.config.mirror;
            let publisher = Publisher::new(sources(parts), settings, &prefix, target.clone())
                .obeying(Arc::clone(&parts.standings));
            if let Some(desk) = parts.entrances.desk(&target.name) {
                let chance = (rand::random as fn() -> f64, rand::random());
                let clerk = Clerk::new(
                    Arc::clone(desk),
                    (&target, publisher.status()),
                    settings,
                    chance,
                );
                tasks.spawn(Rank::Reader, "clients of a broker", |stop| clerk.run(stop));
            }
            verify(tasks, parts, target, &prefix, publisher.status());
            status.push(publisher.status());
            tasks.spawn(Rank::Mirror, "mirror", |stop| publisher.run(stop));
        }
        mirror::Status::new(status)
    }
}

/// Starts the verifier of a target. It ends after the mirror, whose last changes it still compares, and before
/// the embedded broker.
fn verify(
    tasks: &mut Tasks,
    parts: &Parts,
    target: Target,
    prefix: &str,
    status: Arc<mirror::TargetStatus>,
) {
    let config = &parts.config;
    if config.verifier.enabled {
        let verifier = Verifier::new(
            &config.verifier,
            &config.mirror,
            prefix,
            target,
            status,
            Arc::clone(&parts.tail),
            Arc::new(SystemClock),
        );
        tasks.spawn(Rank::Reader, "verifier", |stop| verifier.run(stop));
    }
}

fn sources(parts: &Parts) -> mirror::Sources<dyn Store> {
    mirror::Sources {
        store: Arc::clone(&parts.store),
        tail: Arc::clone(&parts.tail),
        leadership: Arc::clone(&parts.leadership),
        witnesses: Arc::clone(&parts.witnesses),
        log: parts.log,
        directions: Arc::new(parts.directions()),
        clock: Arc::new(SystemClock),
        usage: Arc::clone(&parts.usage),
    }
}
