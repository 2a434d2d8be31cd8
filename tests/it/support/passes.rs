//! Clients that enter brokers with their passes.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use changeover::domain::Clock;
use changeover::{
    config::{mqtt::Protocol, target_link::TlsFiles},
    domain::{Audience, SystemClock},
    identity::{
        Caller, ClientIds, Identity, Who,
        passes::{Issued, KeyRing, Passes},
    },
    mirror::mqtt::{Endpoint, Grant, Link, LinkOptions, Signal},
    store::{SigningKey, SigningKeysRead},
};

use super::within;

const PATIENCE: Duration = Duration::from_secs(20);
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Passes of callers of one realm, `jwt`, under one key, that are good for so long.
pub fn passes(lifetime: Duration) -> Arc<Passes> {
    let ring = Arc::<KeyRing>::default();
    let now = SystemClock.now();
    let key = SigningKey {
        id: "1".to_owned(),
        secret: vec![7; 32],
        signs_from: now,
        retires_at: None,
    };
    let keys = vec![key];
    ring.adopt(&SigningKeysRead { now, keys }, (now, now));
    let identity = Arc::new(Identity::of(["jwt".into()], HashMap::new()));
    Arc::new(Passes::new(identity, ring, Arc::new(SystemClock), lifetime))
}

/// Somebody of the realm `jwt`.
pub fn caller(id: &str) -> Who {
    Who::Known(Arc::new(Caller {
        by: 0,
        realm: "jwt".into(),
        id: id.into(),
        client_ids: ClientIds::Own,
        audiences: Arc::new([Audience::new(id, 64).unwrap()]),
        claims: Box::default(),
        agent: None,
        expires_at: None,
    }))
}

/// A connection of a client.
pub struct Entering {
    link: Link,
    waiting: Vec<Signal>,
}

impl Entering {
    /// Begins to connect.
    pub fn open(url: &str, protocol: Protocol, client_id: &str, with: Option<&Issued>) -> Self {
        let endpoint = Endpoint::parse(url, protocol).unwrap();
        Self::at(endpoint, KEEP_ALIVE, (client_id, with))
    }

    /// Begins to connect as one of so many that the broker may stand still for a while.
    pub fn open_in_a_crowd(url: &str, client_id: &str, with: &Issued) -> Self {
        let endpoint = Endpoint::parse(url, Protocol::V5).unwrap();
        Self::at(endpoint, Duration::from_mins(5), (client_id, Some(with)))
    }

    /// Begins to connect, believing brokers of the CA in this file.
    pub fn open_over_tls(
        (url, ca): (&str, PathBuf),
        protocol: Protocol,
        client_id: &str,
        with: Option<&Issued>,
    ) -> Self {
        let mut endpoint = Endpoint::parse(url, protocol).unwrap();
        endpoint.tls = endpoint.tls.map(|_| TlsFiles {
            ca: Some(ca),
            client: None,
        });
        Self::at(endpoint, KEEP_ALIVE, (client_id, with))
    }

    fn at(
        mut endpoint: Endpoint,
        keep_alive: Duration,
        (client_id, with): (&str, Option<&Issued>),
    ) -> Self {
        if let Some(with) = with {
            endpoint = endpoint.with_login(&with.username, &with.password);
        }
        let link = Link::open(&LinkOptions {
            endpoint,
            client_id: client_id.to_owned(),
            keep_alive,
            inflight: 10,
            session: Some(Duration::from_mins(5)),
            max_packet_bytes: 1024 * 1024,
        });
        let waiting = Vec::new();
        Self { link, waiting }
    }

    /// The next signal.
    pub async fn next(&mut self) -> Signal {
        self.next_within(PATIENCE).await
    }

    async fn next_within(&mut self, patience: Duration) -> Signal {
        within("a signal", patience, async {
            while self.waiting.is_empty() {
                let signals = self.link.next().await.expect("it was not closed before");
                self.waiting.extend(signals);
            }
            self.waiting.remove(0)
        })
        .await
    }

    /// Whether the broker lets it in; with it, whether its session was kept.
    pub async fn is_let_in(&mut self) -> Option<bool> {
        match self.next().await {
            Signal::Connected {
                session_present, ..
            } => Some(session_present),
            Signal::Closed(_) => None,
            other => panic!("{other:?}"),
        }
    }

    /// The same, or why the connection is over.
    pub async fn is_let_in_within(&mut self, patience: Duration) -> Result<bool, String> {
        match self.next_within(patience).await {
            Signal::Connected {
                session_present, ..
            } => Ok(session_present),
            Signal::Closed(why) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    /// What the broker says to a subscription; messages before it are passed over. None = it ends the connection.
    pub async fn subscribe(&mut self, filters: &[&str]) -> Option<Grant> {
        let filters: Vec<_> = filters.iter().map(|&filter| filter.to_owned()).collect();
        self.link.subscribe(&filters, true).unwrap();
        loop {
            match self.next().await {
                Signal::Subscribed(grant) => return Some(grant),
                Signal::Closed(_) => return None,
                _ => {}
            }
        }
    }

    pub fn publish(&self, topic: &str, text: &'static str) {
        let payload = Bytes::from_static(text.as_bytes());
        self.link
            .publish(topic, payload, false, "text/plain")
            .unwrap();
    }

    /// The next message.
    pub async fn message(&mut self) -> (String, String) {
        loop {
            match self.next().await {
                Signal::Message { topic, payload, .. } => {
                    return (topic, String::from_utf8(payload.to_vec()).unwrap());
                }
                Signal::Closed(why) => panic!("{why}"),
                _ => {}
            }
        }
    }

    /// Waits until the broker ends it.
    pub async fn ended(&mut self) {
        self.ended_within(PATIENCE).await;
    }

    /// The same, for at most so long from one signal to the next.
    pub async fn ended_within(&mut self, patience: Duration) {
        while !matches!(self.next_within(patience).await, Signal::Closed(_)) {}
    }

    pub async fn close(self) {
        self.link.close(PATIENCE).await;
    }
}
