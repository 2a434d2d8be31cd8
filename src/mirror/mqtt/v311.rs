//! MQTT 3.1.1 by rumqttc.

use bytes::Bytes;
use rumqttc::{
    AsyncClient, Event, EventLoop, Incoming, MqttOptions, Outgoing, QoS, SubscribeFilter,
    SubscribeReasonCode, Transport,
};

use super::{Grant, LinkOptions, NotSent, Signal, driver::Wire};

/// `place` is where the library connects.
pub(super) fn open(
    options: &LinkOptions,
    place: (String, u16, Transport),
    capacity: usize,
) -> (AsyncClient, V311) {
    let (host, port, transport) = place;
    let mut mqtt = MqttOptions::new(&options.client_id, host, port);
    mqtt.set_transport(transport);
    mqtt.set_keep_alive(options.keep_alive);
    mqtt.set_clean_session(options.session.is_none());
    mqtt.set_inflight(options.inflight.max(1));
    // The library's own bound is 10 KiB; what we may send is bound by `limits.value_bytes`.
    let incoming = usize::try_from(options.max_packet_bytes).unwrap_or(usize::MAX);
    mqtt.set_max_packet_size(incoming, MAX_REMAINING_BYTES);
    let (client, events) = AsyncClient::new(mqtt, capacity);
    (client, V311 { events })
}

/// The most that a packet's length field can say.
const MAX_REMAINING_BYTES: usize = 268_435_455;

pub(super) fn publish(
    client: &AsyncClient,
    topic: &str,
    payload: Bytes,
    retain: bool,
) -> Result<(), NotSent> {
    // `try_publish` of this version takes bytes by copy; the payload is copied once here.
    client
        .try_publish(topic, QoS::AtLeastOnce, retain, payload)
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
    let filters = filters
        .iter()
        .map(|filter| SubscribeFilter::new(filter.clone(), qos));
    client.try_subscribe_many(filters).map_err(|_| NotSent)
}

pub(super) fn unsubscribe(client: &AsyncClient, filter: &str) -> Result<(), NotSent> {
    client.try_unsubscribe(filter).map_err(|_| NotSent)
}

pub(super) struct V311 {
    events: EventLoop,
}

impl Wire for V311 {
    fn log_in(&mut self, user: &str, password: &str) {
        self.events.mqtt_options.set_credentials(user, password);
    }

    async fn turn(&mut self) -> Result<(), String> {
        let event = self
            .events
            .poll()
            .await
            .map_err(|error| error.to_string())?;
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
        Event::Incoming(Incoming::PubAck(ack)) => Some(Signal::Acknowledged(ack.pkid)),
        Event::Incoming(Incoming::Publish(message)) => Some(Signal::Message {
            topic: message.topic,
            payload: message.payload,
            kept: message.retain,
        }),
        Event::Incoming(Incoming::SubAck(ack)) => {
            let least = ack.return_codes.iter().copied().map(grant).min();
            Some(Signal::Subscribed(least.unwrap_or(Grant::Refused)))
        }
        Event::Incoming(Incoming::ConnAck(ack)) => Some(Signal::Connected {
            session_present: ack.session_present,
            receive_maximum: u16::MAX,
            max_packet_bytes: None,
            retains: true,
        }),
        Event::Incoming(_) | Event::Outgoing(_) => None,
    }
}

const fn grant(code: SubscribeReasonCode) -> Grant {
    match code {
        SubscribeReasonCode::Success(QoS::AtMostOnce) => Grant::AtMostOnce,
        SubscribeReasonCode::Success(_) => Grant::AtLeastOnce,
        SubscribeReasonCode::Failure => Grant::Refused,
    }
}
