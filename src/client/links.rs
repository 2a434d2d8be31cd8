//! The connections of a client, one for each place that modules are pushed from.

use std::time::Duration;

use super::{Connection, ConnectionState, LinkId, Session, Told, context::Context};
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
    /// With what it is opened next.
    pub(super) with: Connection,
    /// With what it was opened last, and when that was told.
    used: Option<(Connection, Duration)>,
    told_at: Duration,
    /// When to connect again.
    pub(super) due: Duration,
    pub(super) failures: Backoff,
    /// When it may ask for the session, and the pauses in between.
    may_ask_at: Duration,
    questions: Backoff,
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
    pub(super) fn new(with: Connection, cx: &Context) -> Self {
        let settings = &cx.settings;
        Self {
            id: LinkId(0),
            state: ConnectionState::Off,
            with,
            used: None,
            told_at: cx.now,
            due: Duration::ZERO,
            failures: Context::backoff(settings),
            may_ask_at: Duration::ZERO,
            questions: Backoff::new(settings.first_pause, settings.longest_between_asks),
        }
    }

    /// Takes in what a session says to connect with. True if an open connection was opened with something else, which was told this long
    /// ago: each session has another password, and not each is worth a connection.
    pub(super) fn is_told(&mut self, with: &Connection, lasts: Duration, now: Duration) -> bool {
        (self.with, self.told_at) = (with.clone(), now);
        match &mut self.used {
            Some((used, told_at)) if *used == *with => {
                *told_at = now;
                false
            }
            Some((_, told_at)) => now.saturating_sub(*told_at) >= lasts,
            None => false,
        }
    }

    /// Notes that it is opened.
    pub(super) fn opens(&mut self) {
        self.used = Some((self.with.clone(), self.told_at));
    }

    /// Whether the session may be asked for because of this connection: less and less often, until a subscription stands.
    pub(super) fn asks(&mut self, cx: &mut Context) -> bool {
        let may = self.may_ask_at <= cx.now;
        if may {
            self.may_ask_at = cx.after_pause(&mut self.questions, None);
        }
        may
    }

    /// A subscription stands.
    pub(super) fn stands(&mut self) {
        self.failures.reset();
        self.questions.reset();
        self.may_ask_at = Duration::ZERO;
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
