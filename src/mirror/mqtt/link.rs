//! One connection to a broker, the same for both versions of MQTT.

use std::time::Duration;

use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{Endpoint, driver, entry::Entry, v5, v311};
use crate::{config::mqtt::Protocol, mirror::binary_event::Attributes};

/// How a connection is opened.
#[derive(Debug, Clone)]
pub struct LinkOptions {
    /// The broker.
    pub endpoint: Endpoint,
    /// Our client id.
    pub client_id: String,
    /// MQTT keep-alive. A broker that says nothing for three times as long is given up.
    pub keep_alive: Duration,
    /// Publishes that may be without acknowledgement at once.
    pub inflight: u16,
    /// How long the broker keeps the session of a client that is away; `None` = no session
    /// outlives its connection. MQTT 3.1.1 knows only the broker's own rule.
    pub session: Option<Duration>,
    /// The largest packet that is taken in.
    pub max_packet_bytes: u32,
}

/// What happened on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// The broker let us in.
    Connected {
        /// It has kept our session.
        session_present: bool,
        /// Publishes that it takes without acknowledgement at once.
        receive_maximum: u16,
        /// The largest packet that it takes.
        max_packet_bytes: Option<u32>,
        /// Whether it keeps retained messages.
        retains: bool,
    },
    /// The oldest publish that was handed over and has none yet got this packet id.
    Sent(u16),
    /// The broker took it.
    Acknowledged(u16),
    /// The broker refused it, with its reason. Only MQTT 5 can say so.
    Refused(u16, String),
    /// Answer to a subscription: the least that was granted to any of its filters.
    Subscribed(Grant),
    /// A message for us.
    Message {
        /// Its topic.
        topic: String,
        /// Its payload; of an event in binary mode, the event in its structured form.
        payload: Bytes,
        /// Whether the broker had kept it, and nobody published it just now.
        kept: bool,
    },
    /// The connection is over, with the reason. Nothing comes after it.
    Closed(String),
}

/// How a broker grants a subscription. It may grant less than it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// It does not.
    Refused,
    /// It delivers at QoS 0: a message may be lost without anybody's fault.
    AtMostOnce,
    /// It delivers at QoS 1 or better.
    AtLeastOnce,
}

impl Grant {
    /// Whether it delivers at all.
    pub const fn is_granted(self) -> bool {
        !matches!(self, Self::Refused)
    }
}

/// The client did not take a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection takes no more requests")]
pub struct NotSent;

/// A client, whichever version it speaks.
#[derive(Debug)]
pub(super) enum Client {
    V5(rumqttc::v5::AsyncClient),
    V311(rumqttc::AsyncClient),
}

/// An open connection. Dropping it closes the socket at once.
#[derive(Debug)]
pub struct Link {
    client: Client,
    signals: mpsc::Receiver<Vec<Signal>>,
    driver: JoinHandle<()>,
}

/// Batches of signals that wait for their reader; more make the connection wait.
const BATCHES: usize = 8;

/// Requests besides publishes that may wait: subscribe, disconnect.
const SPARE_REQUESTS: usize = 8;

impl Link {
    /// Begins to connect. The first signal is `Connected` or `Closed`.
    pub fn open(options: &LinkOptions) -> Self {
        // The publisher keeps within `inflight`, so that a full channel means a broken count.
        let capacity = usize::from(options.inflight) + SPARE_REQUESTS;
        let (sender, signals) = mpsc::channel(BATCHES);
        let patience = options.keep_alive.max(Duration::from_secs(1)) * 3;
        let entry = Entry::new(&options.endpoint);
        let (client, driver) = match options.endpoint.protocol {
            Protocol::V5 => {
                let (client, wire) = v5::open(options, entry.place(), capacity);
                let driver = tokio::spawn(driver::drive(wire, entry, sender, patience));
                (Client::V5(client), driver)
            }
            Protocol::V311 => {
                let (client, wire) = v311::open(options, entry.place(), capacity);
                let driver = tokio::spawn(driver::drive(wire, entry, sender, patience));
                (Client::V311(client), driver)
            }
        };
        Self {
            client,
            signals,
            driver,
        }
    }

    /// The next signals, in their order. `None` after `Closed`.
    pub async fn next(&mut self) -> Option<Vec<Signal>> {
        self.signals.recv().await
    }

    /// Hands over a publish at QoS 1. On MQTT 5 it carries `content_type`.
    pub fn publish(
        &self,
        topic: &str,
        payload: Bytes,
        retain: bool,
        content_type: &str,
    ) -> Result<(), NotSent> {
        match &self.client {
            Client::V5(client) => v5::publish(client, topic, payload, retain, content_type),
            Client::V311(client) => v311::publish(client, topic, payload, retain),
        }
    }

    /// Hands over an event in binary mode, at QoS 1. MQTT 3.1.1 has no place for its attributes.
    pub fn publish_binary(
        &self,
        topic: &str,
        data: Bytes,
        attributes: Attributes,
    ) -> Result<(), NotSent> {
        match &self.client {
            Client::V5(client) => v5::publish_binary(client, topic, data, attributes),
            Client::V311(_) => Err(NotSent),
        }
    }

    /// Asks for messages, at QoS 0 or 1.
    pub fn subscribe(&self, filters: &[String], at_least_once: bool) -> Result<(), NotSent> {
        match &self.client {
            Client::V5(client) => v5::subscribe(client, filters, at_least_once),
            Client::V311(client) => v311::subscribe(client, filters, at_least_once),
        }
    }

    /// Asks for no more messages.
    pub fn unsubscribe(&self, filters: &[String]) -> Result<(), NotSent> {
        filters.iter().try_for_each(|filter| match &self.client {
            Client::V5(client) => v5::unsubscribe(client, filter),
            Client::V311(client) => v311::unsubscribe(client, filter),
        })
    }

    /// Takes leave of the broker and waits until that is sent, at most `patience`.
    pub async fn close(mut self, patience: Duration) {
        let asked = match &self.client {
            Client::V5(client) => client.try_disconnect().is_ok(),
            Client::V311(client) => client.try_disconnect().is_ok(),
        };
        if asked {
            let over = async { while self.signals.recv().await.is_some() {} };
            // A broker that does not take the packet in time sees the socket close instead.
            let _late = tokio::time::timeout(patience, over).await;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
