//! Where brokers differ in what the mirror and its clients could lean on, and therefore do not.

use std::{collections::VecDeque, time::Duration};

use changeover::{
    config::mqtt::Protocol::V311,
    mirror::mqtt::{Endpoint, Link, LinkOptions, Signal},
};

use crate::support::{broker::Broker, eventually, servers_are_skipped, within};

const PATIENCE: Duration = Duration::from_secs(30);

/// A client that says what it hears.
struct Client {
    link: Link,
    session_present: bool,
    /// What came and was not looked at: NATS shows retained messages before it answers the subscription.
    kept: VecDeque<Signal>,
}

impl Client {
    async fn enter(broker: &Broker, id: &str, kept: bool) -> Self {
        let options = LinkOptions {
            endpoint: Endpoint::parse(&broker.gateway_url(broker.port()), V311).unwrap(),
            client_id: id.to_owned(),
            keep_alive: Duration::from_secs(30),
            inflight: 10,
            session: kept.then_some(Duration::from_hours(1)),
            max_packet_bytes: 1024 * 1024,
        };
        let mut client = Self {
            link: Link::open(&options),
            session_present: false,
            kept: VecDeque::new(),
        };
        let present = client.heard(|signal| match signal {
            Signal::Connected {
                session_present, ..
            } => Some(*session_present),
            _ => None,
        });
        client.session_present = present.await;
        client
    }

    /// Subscribes, at QoS 1 if told so.
    async fn subscribe(&mut self, filter: &str, at_least_once: bool) {
        let filters = [filter.to_owned()];
        self.link.subscribe(&filters, at_least_once).unwrap();
        let granted = self.heard(|signal| match signal {
            Signal::Subscribed(granted) => Some(granted.is_granted()),
            _ => None,
        });
        assert!(granted.await);
    }

    /// Publishes a message and waits until it is acknowledged. The reason if the connection ends instead.
    async fn publish(
        &mut self,
        topic: &str,
        text: &'static str,
        retain: bool,
    ) -> Result<(), String> {
        let sent = self.link.publish(topic, text.into(), retain, "text/plain");
        sent.unwrap();
        self.heard(|signal| match signal {
            Signal::Acknowledged(_) => Some(Ok(())),
            Signal::Closed(reason) => Some(Err(reason.clone())),
            _ => None,
        })
        .await
    }

    /// Topic and text of the next message.
    async fn message(&mut self) -> (String, String) {
        self.heard(|signal| match signal {
            Signal::Message { topic, payload, .. } => {
                let text = String::from_utf8(payload.to_vec()).unwrap();
                Some((topic.clone(), text))
            }
            _ => None,
        })
        .await
    }

    async fn heard<T>(&mut self, wanted: impl Fn(&Signal) -> Option<T>) -> T {
        let hear = async {
            loop {
                let at = self.kept.iter().position(|signal| wanted(signal).is_some());
                if let Some(signal) = at.and_then(|at| self.kept.remove(at)) {
                    return wanted(&signal).unwrap();
                }
                let more = self.link.next().await;
                self.kept
                    .extend(more.unwrap_or_else(|| panic!("it is over: {:?}", self.kept)));
            }
        };
        within("the broker answers", PATIENCE, hear).await
    }
}

/// What a filter is shown first: the retained message, or the one that is published after the subscription.
async fn first_shown(broker: &Broker, name: &str, filter: &str) -> String {
    let topic = format!("quirks/{name}/m1");
    let mut publisher = Client::enter(broker, &format!("{name}-p"), false).await;
    publisher.publish(&topic, "retained", true).await.unwrap();
    let mut subscriber = Client::enter(broker, &format!("{name}-s"), false).await;
    subscriber.subscribe(filter, true).await;
    publisher.publish(&topic, "later", false).await.unwrap();
    subscriber.message().await.1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_shows_retained_messages_to_exact_filters_only() {
    if servers_are_skipped() {
        return;
    }
    let broker = Broker::shared_rabbitmq();
    assert_eq!(first_shown(&broker, "plus", "quirks/plus/+").await, "later");
    assert_eq!(
        first_shown(&broker, "exact", "quirks/exact/m1").await,
        "retained"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_and_mosquitto_show_retained_messages_to_wildcards() {
    if servers_are_skipped() {
        return;
    }
    for broker in [Broker::nats(), Broker::mosquitto()] {
        // NATS acknowledges a retained message a moment before it shows it.
        eventually("it is shown", PATIENCE, async || {
            let shown = first_shown(&broker, "plus", "quirks/plus/+").await;
            (shown == "retained").then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_keeps_no_session_for_qos_0_alone() {
    if servers_are_skipped() {
        return;
    }
    assert!(!is_remembered(&Broker::shared_rabbitmq(), "quirks-0", false).await);
    assert!(is_remembered(&Broker::shared_rabbitmq(), "quirks-1", true).await);
    assert!(is_remembered(&Broker::nats(), "quirks-0", false).await);
    assert!(is_remembered(&Broker::mosquitto(), "quirks-0", false).await);
}

async fn is_remembered(broker: &Broker, id: &str, at_least_once: bool) -> bool {
    let mut first = Client::enter(broker, id, true).await;
    first.subscribe("quirks/session", at_least_once).await;
    first.link.close(PATIENCE).await;
    Client::enter(broker, id, true).await.session_present
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_makes_slashes_of_dots() {
    if servers_are_skipped() {
        return;
    }
    let broker = Broker::shared_rabbitmq();
    let mut subscriber = Client::enter(&broker, "dots-s", false).await;
    subscriber.subscribe("quirks.dots/x", true).await;
    let mut publisher = Client::enter(&broker, "dots-p", false).await;
    publisher
        .publish("quirks.dots/x", "text", false)
        .await
        .unwrap();
    assert_eq!(subscriber.message().await.0, "quirks/dots/x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_and_the_embedded_broker_leave_topics_as_they_are() {
    if servers_are_skipped() {
        return;
    }
    for broker in [
        Broker::mosquitto(),
        #[cfg(feature = "embedded-broker")]
        Broker::embedded("gateway").await,
    ] {
        let mut client = Client::enter(&broker, "gateway", false).await;
        for topic in ["quirks.dots/x", "quirks spaces/x"] {
            client.subscribe(topic, true).await;
            client.publish(topic, "text", false).await.unwrap();
            assert_eq!(client.message().await.0, topic);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_takes_no_dots_and_no_spaces() {
    if servers_are_skipped() {
        return;
    }
    let broker = Broker::nats();
    for topic in ["quirks.dots/x", "quirks spaces/x"] {
        let mut publisher = Client::enter(&broker, "dots-p", false).await;
        let refused = publisher.publish(topic, "text", false).await;
        assert!(refused.is_err(), "{topic}");
    }
}
