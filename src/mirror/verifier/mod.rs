//! The verifier of one target: it subscribes as a client would, and compares what arrives with the log.
//!
//! Invariants: it publishes nothing and moves no cursor; it judges only what was published while its
//! subscription stood and this replica mirrored the module; what it holds is bounded by
//! `verifier.window` per module.

mod modules;
mod outcome;
mod received;
mod sampler;
mod sight;
#[cfg(any(test, fuzzing))]
pub(super) mod strangers;
mod tally;
mod verification;
mod watch;
mod window;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::{modules::Modules, sampler::Sampler, sight::Means};
pub use self::{
    outcome::Outcome,
    verification::{ModuleVerification, Problem, Verification},
};
use super::{
    TargetStatus,
    mqtt::{Grant, Link, Signal},
    target::Target,
    topic::Topics,
};
use crate::{
    config,
    domain::{Backoff, Clock},
    log::Tail,
    telemetry::metric,
};

/// The verifier of one target.
pub struct Verifier {
    mirror: config::mirror::Mirror,
    target: Target,
    status: Arc<TargetStatus>,
    topics: Topics,
    modules: Modules,
    link: Option<Link>,
    ear: Ear,
    backoff: Backoff,
    connect_at: Instant,
    sampler: Sampler,
    share: metrics::Gauge,
}

/// How far the connection has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ear {
    /// Not subscribed.
    Deaf,
    /// Subscribed.
    Listening,
    /// Subscribed, and asked whether the connection lives.
    Asking,
}

/// How often the log and the publisher are looked at.
const TICK: Duration = Duration::from_millis(100);

/// How long the broker may take to hear our leave.
const LEAVE: Duration = Duration::from_millis(200);

impl Verifier {
    /// A verifier that is not connected yet. `status` is that of the target's publisher.
    pub fn new(
        settings: &config::verifier::Verifier,
        mirror: &config::mirror::Mirror,
        topic_prefix: &str,
        target: Target,
        status: Arc<TargetStatus>,
        tail: Arc<Tail>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let now = Instant::now();
        let topics = Topics::within(topic_prefix, target.limits.topic_bytes);
        let labels = [("target", target.name.clone())];
        Self {
            mirror: mirror.clone(),
            modules: Modules::new(
                &target.name,
                Means {
                    settings: settings.clone(),
                    tail,
                    topics: topics.clone(),
                    clock,
                    delivery: metrics::histogram!(metric::DELIVERY_SECONDS, &labels),
                    slack: target.slack(mirror),
                },
            ),
            topics,
            status,
            link: None,
            ear: Ear::Deaf,
            backoff: Backoff::new(
                Duration::from_millis(mirror.backoff_min_ms),
                Duration::from_millis(mirror.backoff_max_ms),
            ),
            connect_at: now,
            sampler: Sampler::new(settings.rate, now),
            share: metrics::gauge!(metric::VERIFIED_SHARE, &labels),
            target,
        }
    }

    /// Listens and compares until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                signals = next(&mut self.link) => self.on_signals(signals),
                _ = tick.tick() => self.tend(),
                () = stop.cancelled() => break,
            }
        }
        if let Some(link) = self.link.take() {
            link.close(LEAVE).await;
        }
        self.forget();
        self.report();
    }

    fn on_signals(&mut self, signals: Vec<Signal>) {
        for signal in signals {
            match signal {
                Signal::Connected { .. } => self.subscribe(),
                Signal::Subscribed(Grant::AtLeastOnce) => self.on_subscribed(),
                Signal::Message { topic, payload, .. } => self.on_message(&topic, &payload),
                Signal::Subscribed(Grant::Refused) => {
                    return self.lose("the broker refuses its subscription");
                }
                Signal::Subscribed(Grant::AtMostOnce) => {
                    return self.lose(
                        "the broker grants its subscription at QoS 0 only: what is missing then would prove nothing",
                    );
                }
                Signal::Closed(reason) => return self.lose(&reason),
                Signal::Sent(_) | Signal::Acknowledged(_) | Signal::Refused(..) => {}
            }
        }
    }

    fn subscribe(&mut self) {
        if let Some(link) = &self.link {
            // If the link is gone already, `Closed` follows and says why.
            let _gone = link.subscribe(&self.target.verifier_filters(&self.topics), true);
        }
    }

    fn on_subscribed(&mut self) {
        let began = self.ear == Ear::Deaf;
        self.ear = Ear::Listening;
        if began {
            tracing::info!(broker = %self.target.name, "reading back what the broker delivers");
            self.backoff.reset();
        }
        self.modules.each(|watch, tally, sight| {
            if began {
                watch.begin(sight);
            } else {
                watch.miss(sight, tally);
            }
        });
    }

    fn lose(&mut self, reason: &str) {
        tracing::warn!(broker = %self.target.name, reason, "nothing is read back from the broker");
        self.forget();
    }

    /// Leaves a broker that gets nothing any more.
    fn leave(&mut self) {
        if let Some(link) = self.link.take() {
            tokio::spawn(link.close(LEAVE));
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.link = None;
        self.ear = Ear::Deaf;
        let pause = self.backoff.pause(rand::random());
        self.connect_at = Instant::now() + pause;
        self.modules.each(|watch, tally, _| watch.end(tally));
    }

    fn on_message(&mut self, topic: &str, payload: &[u8]) {
        if let Some(module) = self.topics.channel_module(topic) {
            self.sampler.count();
            self.modules.hear(module, topic, payload);
        }
    }

    /// What is to be done from time to time.
    fn tend(&mut self) {
        let now = Instant::now();
        if !self.status.is_fed() {
            self.leave();
        } else if self.link.is_none() && now >= self.connect_at {
            self.link = Some(Link::open(&self.target.verifier_options(&self.mirror)));
        }
        if let Some(share) = self.sampler.look(now) {
            self.modules.each(|watch, _, _| watch.compare(share));
        }
        let (share, listening) = (self.sampler.share(), self.ear != Ear::Deaf);
        self.modules.follow(&self.status, share, listening);
        self.ask_if_overdue();
        self.report();
    }

    /// A connection that died unnoticed delivers nothing either. The broker's answer to the same
    /// subscription once more shows that it lives; it changes nothing for the broker.
    fn ask_if_overdue(&mut self) {
        if self.ear != Ear::Listening {
            return;
        }
        let mut overdue = false;
        self.modules
            .each(|watch, _, sight| overdue |= watch.is_overdue(sight));
        if overdue {
            self.ear = Ear::Asking;
            self.subscribe();
        }
    }

    fn report(&mut self) {
        let share = self.sampler.share().fraction();
        self.share.set(share);
        let (listening, found) = (self.ear != Ear::Deaf, self.modules.found());
        self.status.verification().set(listening, share, found);
    }
}

/// The next signals of a connection; waits for ever while there is none. Cancel-safe.
async fn next(link: &mut Option<Link>) -> Vec<Signal> {
    match link {
        Some(link) => link
            .next()
            .await
            .unwrap_or_else(|| vec![Signal::Closed("the connection's task has ended".to_owned())]),
        None => std::future::pending().await,
    }
}
