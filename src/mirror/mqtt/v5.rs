//! MQTT 5 by rumqttc.

use std::io;

use bytes::Bytes;
use rumqttc::{
    Outgoing, Transport,
    v5::{
        AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions,
        mqttbytes::{
            QoS,
            v5::{
                ConnAck, ConnectReturnCode, Filter, PubAckReason, Publish, PublishProperties,
                SubscribeReasonCode,
            },
        },
    },
};

use super::{Grant, LinkOptions, NotSent, Signal, driver::Wire};
use crate::mirror::binary_event::{self, Attributes};

/// `place` is where the library connects.
pub(super) fn open(
    options: &LinkOptions,
    place: (String, u16, Transport),
    capacity: usize,
) -> (AsyncClient, V5) {
    let (host, port, transport) = place;
    let mut mqtt = MqttOptions::new(&options.client_id, host, port);
    mqtt.set_transport(transport);
    mqtt.set_keep_alive(options.keep_alive);
    mqtt.set_clean_start(options.session.is_none());
    let expiry = options
        .session
        .map(|kept| u32::try_from(kept.as_secs()).unwrap_or(u32::MAX));
    mqtt.set_session_expiry_interval(expiry);
    mqtt.set_outgoing_inflight_upper_limit(options.inflight.max(1));
    mqtt.set_max_packet_size(Some(options.max_packet_bytes));
    let (client, events) = AsyncClient::new(mqtt, capacity);
    let admitted = false;
    (client, V5 { events, admitted })
}

pub(super) fn publish(
    client: &AsyncClient,
    topic: &str,
    payload: Bytes,
    retain: bool,
    content_type: &str,
) -> Result<(), NotSent> {
    let properties = PublishProperties {
        content_type: Some(content_type.to_owned()),
        ..PublishProperties::default()
    };
    client
        .try_publish_with_properties(topic, QoS::AtLeastOnce, retain, payload, properties)
        .map_err(|_| NotSent)
}

pub(super) fn publish_binary(
    client: &AsyncClient,
    topic: &str,
    data: Bytes,
    attributes: Attributes,
) -> Result<(), NotSent> {
    let properties = PublishProperties {
        content_type: Some(binary_event::CONTENT_TYPE.to_owned()),
        user_properties: attributes,
        ..PublishProperties::default()
    };
    client
        .try_publish_with_properties(topic, QoS::AtLeastOnce, false, data, properties)
        .map_err(|_| NotSent)
}

pub(super) fn subscribe(
    client: &AsyncClient,
    filters: &[String],
    at_least_once: bool,
) -> Result<(), NotSent> {
    let qos = if at_least_once {
        QoS::AtLeastOnce
    } else {
        QoS::AtMostOnce
    };
    let filters = filters.iter().map(|filter| Filter::new(filter, qos));
    client.try_subscribe_many(filters).map_err(|_| NotSent)
}

pub(super) fn unsubscribe(client: &AsyncClient, filter: &str) -> Result<(), NotSent> {
    client.try_unsubscribe(filter).map_err(|_| NotSent)
}

pub(super) struct V5 {
    events: EventLoop,
    /// Whether the broker has answered.
    admitted: bool,
}

impl V5 {
    /// Why the connection is over, with what may help.
    fn explain(&self, error: &ConnectionError) -> String {
        if self.admitted || !may_be_version(error) {
            return error.to_string();
        }
        format!(
            "{error}, instead of an answer to MQTT 5; if the broker speaks 3.1.1 only, set `mqtt.targets.protocol` = \"3.1.1\""
        )
    }
}

/// Whether this is how a broker that does not know MQTT 5 ends a connection: RabbitMQ 3.10 says nothing, NATS
/// answers in the shorter form of 3.1.1, newer ones say so.
fn may_be_version(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::MqttState(_) | ConnectionError::NotConnAck(_) => true,
        ConnectionError::Io(why) => matches!(
            why.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::UnexpectedEof
                | io::ErrorKind::BrokenPipe
        ),
        ConnectionError::ConnectionRefused(code) => {
            *code == ConnectReturnCode::UnsupportedProtocolVersion
        }
        _ => false,
    }
}

impl Wire for V5 {
    fn log_in(&mut self, user: &str, password: &str) {
        self.events.options.set_credentials(user, password);
    }

    async fn turn(&mut self) -> Result<(), String> {
        let turned = self.events.poll().await;
        let event = turned.map_err(|error| self.explain(&error))?;
        self.admitted = true;
        self.events.state.events.push_front(event);
        Ok(())
    }

    fn drain(&mut self, signals: &mut Vec<Signal>) -> bool {
        let mut left = false;
        for event in self.events.state.events.drain(..) {
            left |= event == Event::Outgoing(Outgoing::Disconnect);
            signals.extend(signal(event));
        }
        left
    }
}

fn signal(event: Event) -> Option<Signal> {
    match event {
        Event::Outgoing(Outgoing::Publish(packet)) => Some(Signal::Sent(packet)),
        Event::Incoming(Incoming::PubAck(ack)) => Some(match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {
                Signal::Acknowledged(ack.pkid)
            }
            reason => Signal::Refused(
                ack.pkid,
                refusal(reason, ack.properties.and_then(|p| p.reason_string)),
            ),
        }),
        Event::Incoming(Incoming::Publish(message)) => Some(Signal::Message {
            topic: String::from_utf8_lossy(&message.topic).into_owned(),
            kept: message.retain,
            payload: structured(&message).unwrap_or(message.payload),
        }),
        Event::Incoming(Incoming::SubAck(ack)) => {
            let least = ack.return_codes.iter().copied().map(grant).min();
            Some(Signal::Subscribed(least.unwrap_or(Grant::Refused)))
        }
        Event::Incoming(Incoming::ConnAck(ack)) => Some(connected(&ack)),
        Event::Incoming(_) | Event::Outgoing(_) => None,
    }
}

/// An event in binary mode, as those in structured mode are.
fn structured(message: &Publish) -> Option<Bytes> {
    let properties = message.properties.as_ref()?;
    let content_type = properties.content_type.as_deref()?;
    binary_event::structured(content_type, &properties.user_properties, &message.payload)
}

fn refusal(reason: PubAckReason, explanation: Option<String>) -> String {
    match explanation {
        Some(text) => format!("{reason:?}: {text}"),
        None => format!("{reason:?}"),
    }
}

fn connected(ack: &ConnAck) -> Signal {
    let properties = ack.properties.as_ref();
    Signal::Connected {
        session_present: ack.session_present,
        receive_maximum: properties.and_then(|p| p.receive_max).unwrap_or(u16::MAX),
        max_packet_bytes: properties.and_then(|p| p.max_packet_size),
        retains: properties.and_then(|p| p.retain_available) != Some(0),
    }
}

const fn grant(code: SubscribeReasonCode) -> Grant {
    match code {
        SubscribeReasonCode::Success(QoS::AtMostOnce) => Grant::AtMostOnce,
        SubscribeReasonCode::Success(_) => Grant::AtLeastOnce,
        _ => Grant::Refused,
    }
}
