//! The connection to a broker that the client asked for, as events of the client.

use std::{collections::VecDeque, time::Duration};

use anyhow::anyhow;

use crate::{
    client::{Connection, Event, LinkId, Message},
    config::mqtt::{Mqtt, Protocol},
    domain::ModuleName,
    mirror::mqtt::{Endpoint, Link, LinkOptions, Signal},
};

/// How long the broker keeps the session while the connection is lost. On MQTT 3.1.1, where the broker alone says how long, it keeps
/// none: who has watched is hardly coming back.
const SESSION: Duration = Duration::from_mins(1);

/// How long taking leave may take.
const LEAVE: Duration = Duration::from_secs(2);

/// The largest packet that is taken in.
const MAX_PACKET_BYTES: u32 = 16 * 1024 * 1024;

/// A connection.
pub(super) struct Line {
    pub(super) id: LinkId,
    link: Link,
    /// The modules whose subscriptions have no answer yet, oldest first.
    asked: VecDeque<ModuleName>,
}

impl Line {
    /// Begins to connect.
    pub(super) fn open(id: LinkId, to: &Connection, mqtt: &Mqtt) -> anyhow::Result<Self> {
        let protocol = Protocol::try_from(to.protocol.clone()).map_err(|why| anyhow!(why))?;
        let url = to.url.as_ref().or(to.websocket_url.as_ref());
        let url = url.ok_or_else(|| anyhow!("the session names no address of {}", to.target))?;
        let endpoint = Endpoint::parse(url, protocol).map_err(|why| anyhow!("{url}: {why}"))?;
        let session = (protocol == Protocol::V5).then_some(SESSION);
        let options = LinkOptions {
            endpoint: with_login(endpoint, to, mqtt),
            client_id: to.client_id.clone(),
            keep_alive: to.keep_alive,
            inflight: 1,
            session,
            max_packet_bytes: MAX_PACKET_BYTES,
        };
        Ok(Self {
            id,
            link: Link::open(&options),
            asked: VecDeque::new(),
        })
    }

    /// Asks for the topics of a module. If the connection is gone already, its end follows.
    pub(super) fn subscribe(&mut self, module: ModuleName, topics: &[String]) {
        if self.link.subscribe(topics, true).is_ok() {
            self.asked.push_back(module);
        }
    }

    /// Asks for the topics no more.
    pub(super) fn unsubscribe(&self, topics: &[String]) {
        let _gone = self.link.unsubscribe(topics);
    }

    /// What comes next; none after the end.
    pub(super) async fn next(&mut self) -> Vec<Event> {
        let signals = self.link.next().await;
        let over = vec![Event::Disconnected { link: self.id }];
        signals.map_or(over, |signals| {
            let events = signals.into_iter().filter_map(|signal| self.event(signal));
            events.collect()
        })
    }

    fn event(&mut self, signal: Signal) -> Option<Event> {
        let link = self.id;
        match signal {
            Signal::Connected {
                session_present, ..
            } => Some(Event::Connected {
                link,
                session_present,
            }),
            Signal::Subscribed(granted) => {
                let module = self.asked.pop_front()?;
                Some(Event::Subscribed {
                    link,
                    module,
                    // What is lost at QoS 0 shows as a gap, or by the next resync.
                    granted: granted.is_granted(),
                })
            }
            // What is none of ours is as good as lost: the next change shows a gap.
            Signal::Message { payload, .. } => {
                let message = Message::parse(&payload).ok()?;
                Some(Event::Message { link, message })
            }
            Signal::Closed(reason) => {
                eprintln!("not connected: {reason}");
                Some(Event::Disconnected { link })
            }
            Signal::Sent(_) | Signal::Acknowledged(_) | Signal::Refused(..) => None,
        }
    }

    /// Takes leave.
    pub(super) async fn close(self) {
        self.link.close(LEAVE).await;
    }
}

/// The session's user, or the one that this configuration has for the target, as it has its CA.
fn with_login(mut endpoint: Endpoint, to: &Connection, mqtt: &Mqtt) -> Endpoint {
    let mut targets = mqtt.effective_targets().into_iter();
    let known = targets.find(|target| target.name == to.target);
    if let Some(known) = known {
        endpoint.tls = endpoint.tls.map(|_| known.tls_files());
        endpoint.login = endpoint.login.or_else(|| known.login());
    }
    match &to.username {
        Some(user) => endpoint.with_login(user, to.password.as_deref().unwrap_or_default()),
        None => endpoint,
    }
}
