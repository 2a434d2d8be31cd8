//! The answer to `POST /v1/session`.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::Unreadable;
use crate::{
    client::{Connection, Session, Told},
    domain::{ModuleName, Transport},
};

#[derive(Deserialize)]
struct SessionText {
    next_session_ms: u64,
    resync_ms: u64,
    targets: BTreeMap<String, ConnectionText>,
    modules: BTreeMap<ModuleName, ToldText>,
}

#[derive(Deserialize)]
struct ConnectionText {
    target: String,
    url: Option<String>,
    websocket_url: Option<String>,
    protocol: String,
    client_id: String,
    username: Option<String>,
    password: Option<String>,
    keep_alive_s: u64,
}

#[derive(Deserialize)]
struct ToldText {
    transport: String,
    reason: String,
    topics: Vec<String>,
    target: Option<String>,
    next_poll_ms: Option<u64>,
}

impl Session {
    /// Reads the body of an answer to `POST /v1/session`.
    pub fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let text: SessionText = serde_json::from_slice(body)?;
        let connections = text.targets.into_iter();
        let modules = text.modules.into_iter();
        Ok(Self {
            next_session: Duration::from_millis(text.next_session_ms),
            resync: Duration::from_millis(text.resync_ms),
            targets: connections
                .map(|(name, target)| (name, target.connection()))
                .collect(),
            modules: modules.map(|(name, said)| (name, said.told())).collect(),
        })
    }
}

impl ConnectionText {
    fn connection(self) -> Connection {
        Connection {
            target: self.target,
            url: self.url,
            websocket_url: self.websocket_url,
            protocol: self.protocol,
            client_id: self.client_id,
            username: self.username,
            password: self.password,
            keep_alive: Duration::from_secs(self.keep_alive_s),
        }
    }
}

impl ToldText {
    fn told(self) -> Told {
        // Whatever else a gateway may say one day, polls are answered.
        let transport = if self.transport == "push" {
            Transport::Push
        } else {
            Transport::Poll
        };
        Told {
            transport,
            reason: self.reason,
            topics: self.topics,
            target: self.target,
            next_poll: self.next_poll_ms.map(Duration::from_millis),
        }
    }
}
