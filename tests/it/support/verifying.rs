//! A verifier beside the publisher of a rig, and a hand that puts events of its own onto the channels.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use changeover::{
    config::{mqtt::Protocol, verifier},
    domain::{Change, SystemClock},
    mirror::{
        ModuleVerification, Outcome, TargetStatus, Verifier, event,
        mqtt::{Endpoint, Link, LinkOptions, Signal},
        topic::Topics,
    },
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::mirror_rig::{Rig, Running};

const PATIENCE: Duration = Duration::from_mins(1);

/// A verifier that runs.
pub struct Verifying {
    status: Arc<TargetStatus>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Rig {
    /// Starts a verifier of what `running` publishes, and waits until it listens and watches the modules.
    pub async fn verify(
        &self,
        running: &Running,
        settings: &verifier::Verifier,
        modules: &[&str],
    ) -> Verifying {
        let verifier = Verifier::new(
            settings,
            &self.settings,
            "changeover",
            self.target.clone(),
            Arc::clone(&running.status),
            Arc::clone(&self.tail),
            Arc::new(SystemClock),
        );
        let stop = CancellationToken::new();
        let verifying = Verifying {
            status: Arc::clone(&running.status),
            task: tokio::spawn(verifier.run(stop.clone())),
            stop,
        };
        super::eventually("the verifier listens", PATIENCE, async || {
            let watched = |module: &&str| verifying.found(module).is_some();
            let listens = verifying.status.verification().listening();
            (listens && modules.iter().all(watched)).then_some(())
        })
        .await;
        verifying
    }
}

impl Verifying {
    /// What was found of a module.
    pub fn found(&self, module: &str) -> Option<ModuleVerification> {
        let verification = self.status.verification();
        verification.module(&module.parse().unwrap())
    }

    /// How often a module had an outcome.
    pub fn count(&self, module: &str, outcome: Outcome) -> u64 {
        self.found(module).map_or(0, |found| found.count(outcome))
    }

    /// Waits until its subscription stands.
    pub async fn listens(&self) {
        super::eventually("the verifier listens", PATIENCE, async || {
            self.status.verification().listening().then_some(())
        })
        .await;
    }

    /// The share of the channels that is compared.
    pub fn share(&self) -> f64 {
        self.status.verification().share()
    }

    /// Waits until a module has had an outcome so often.
    pub async fn reaches(&self, module: &str, outcome: Outcome, count: u64) {
        let what = format!("{count} x {} of {module}", outcome.label());
        super::eventually(&what, PATIENCE, async || {
            let found = self.count(module, outcome);
            assert!(found <= count, "{what}: {:?}", self.found(module));
            (found == count).then_some(())
        })
        .await;
    }

    /// Waits until every one of so many changes has its outcome.
    pub async fn settles(&self, module: &str, changes: u64) -> ModuleVerification {
        let what = format!("{changes} changes of {module} have an outcome");
        super::eventually(&what, PATIENCE, async || {
            let found = self.found(module)?;
            (settled(&found) >= changes).then_some(found)
        })
        .await
    }

    /// Ends it.
    pub async fn stop(self) {
        self.stop.cancel();
        super::within("the verifier ends", PATIENCE, self.task)
            .await
            .unwrap();
    }
}

/// Changes that have an outcome. Repeats and what is foreign are not of the log.
pub fn settled(found: &ModuleVerification) -> u64 {
    let extra = found.count(Outcome::Duplicate) + found.count(Outcome::Foreign);
    found.counts.iter().sum::<u64>() - extra
}

/// A client that publishes onto the channels, as nobody should be able to.
pub struct Forger {
    link: Link,
    topics: Topics,
}

impl Forger {
    pub async fn connect(url: &str) -> Self {
        let mut link = Link::open(&LinkOptions {
            endpoint: Endpoint::parse(url, Protocol::V5).unwrap(),
            client_id: "forger".to_owned(),
            keep_alive: Duration::from_secs(5),
            inflight: 100,
            session: None,
            max_packet_bytes: 1024 * 1024,
        });
        let signals = super::within("the forger connects", PATIENCE, link.next()).await;
        assert!(
            matches!(signals.unwrap()[0], Signal::Connected { .. }),
            "the broker refuses the forger"
        );
        let topics = Topics::new("changeover");
        Self { link, topics }
    }

    /// Publishes a change as the mirror would.
    pub async fn deliver(&mut self, module: &str, change: &Change) {
        let module = module.parse().unwrap();
        let mut payload = bytes::BytesMut::new();
        event::encode(&module, change, &mut payload);
        let topic = self.topics.channel(&module, &change.audience);
        self.publish(&topic, payload.freeze()).await;
    }

    /// Publishes anything, and waits until the broker has it.
    pub async fn publish(&mut self, topic: &str, payload: impl Into<Bytes>) {
        let payload = payload.into();
        self.link
            .publish(topic, payload, false, event::CONTENT_TYPE)
            .unwrap();
        loop {
            let signals = super::within("an acknowledgement", PATIENCE, self.link.next()).await;
            let acknowledged = |signal: &Signal| matches!(signal, Signal::Acknowledged(_));
            if signals.unwrap().iter().any(acknowledged) {
                return;
            }
        }
    }
}
