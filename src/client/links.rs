//! The connections of a client, one for each place that modules are pushed from.

use std::time::Duration;

use super::{Connection, ConnectionState, LinkId, Session, Settings, Told, context::Context};
use crate::domain::{Backoff, Transport};

/// Where a connection goes, and as whom. A password alone makes no other one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Site {
    target: String,
    url: Option<String>,
    websocket_url: Option<String>,
    client_id: String,
}

/// Where a module is pushed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) site: Site,
    pub(super) topics: Vec<String>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) state: ConnectionState,
    pub(super) with: Connection,
    /// When to connect again.
    pub(super) due: Duration,
    pub(super) failures: Backoff,
}

impl Site {
    pub(super) fn of(connection: &Connection) -> Self {
        Self {
            target: connection.target.clone(),
            url: connection.url.clone(),
            websocket_url: connection.websocket_url.clone(),
            client_id: connection.client_id.clone(),
        }
    }
}

impl Place {
    /// Where the session says that the module is pushed from; none = it is to be polled.
    pub(super) fn told(told: &Told, session: &Session) -> Option<(Self, Connection)> {
        if told.transport == Transport::Poll || told.topics.is_empty() {
            return None;
        }
        let connection = session.targets.get(told.target.as_ref()?)?;
        let place = Self {
            site: Site::of(connection),
            topics: told.topics.clone(),
        };
        Some((place, connection.clone()))
    }
}

impl Link {
    pub(super) fn new(with: Connection, settings: &Settings) -> Self {
        Self {
            id: LinkId(0),
            state: ConnectionState::Off,
            with,
            due: Duration::ZERO,
            failures: Context::backoff(settings),
        }
    }

    pub(super) fn wakes_at(&self) -> Duration {
        match self.state {
            ConnectionState::Down => self.due,
            ConnectionState::Off | ConnectionState::Opening | ConnectionState::Open => {
                Duration::MAX
            }
        }
    }
}
