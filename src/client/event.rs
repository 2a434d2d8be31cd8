//! What a client learns, and what it wants done. Whoever does it needs no knowledge of the rule.

use std::{collections::BTreeMap, time::Duration};

use super::{By, Change};
use crate::domain::{Cursor, ModuleName, Transport};

/// One attempt to connect, and what comes of it. Numbers are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(super) u64);

/// What a client learns. Each question is followed by exactly one answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Nothing but that it is later: at [`super::Client::wakes_at`].
    Time,
    /// Something says that the session may be another now.
    Flip,
    /// The answer to [`Action::AskSession`].
    Session(Session),
    /// None, or none that could be used. With `Retry-After` the server says when to come back.
    SessionFailed(Option<Duration>),
    /// An answer to [`Action::Read`].
    Page(ModuleName, Page),
    /// An answer to [`Action::TakeState`].
    State(ModuleName, StatePage),
    /// An answer to either: 410, or `"error":"gone"`.
    Gone(ModuleName),
    /// An answer to [`Action::TakeState`]: 404, the module keeps no state.
    NoState(ModuleName),
    /// No answer to either, or none that could be used.
    ReadFailed(ModuleName, Option<Duration>),
    /// The broker let us in.
    Connected {
        /// Where.
        link: LinkId,
        /// Whether it has kept the session of before.
        session_present: bool,
    },
    /// The broker has answered a subscription (SUBACK).
    Subscribed {
        /// Where.
        link: LinkId,
        /// Of which module.
        module: ModuleName,
        /// Whether all of its topics were granted, at QoS 1.
        granted: bool,
    },
    /// A message came.
    Message {
        /// Where.
        link: LinkId,
        /// What it says.
        message: Message,
    },
    /// The connection is over, or could not be made.
    Disconnected {
        /// Which.
        link: LinkId,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// `POST /v1/session`.
    AskSession,
    /// `POST /v1/poll` without `wait_ms`, or a legacy poll.
    Read {
        /// Of which module.
        module: ModuleName,
        /// Behind which cursor; none = from the beginning.
        after: Option<Cursor>,
    },
    /// `GET /v1/modules/{module}/snapshot`.
    TakeState {
        /// Of which module.
        module: ModuleName,
        /// The `next` of the page before; none = the first page.
        page: Option<String>,
    },
    /// Connect to a broker, with a session that outlives the connection (no clean start).
    Connect {
        /// What the events of this connection name.
        link: LinkId,
        /// Where, and with what.
        connection: Connection,
    },
    /// Take leave of a broker. Its events are of no interest any more.
    Disconnect {
        /// Which.
        link: LinkId,
    },
    /// Subscribe at QoS 1.
    Subscribe {
        /// Where.
        link: LinkId,
        /// For which module.
        module: ModuleName,
        /// To what.
        topics: Vec<String>,
    },
    /// End a subscription. Others on the connection may go on.
    Unsubscribe {
        /// Where.
        link: LinkId,
        /// From what.
        topics: Vec<String>,
    },
    /// What is held of the module is replaced by what follows.
    Forget {
        /// Of which module.
        module: ModuleName,
    },
    /// Apply a change. It comes once.
    Apply {
        /// Of which module.
        module: ModuleName,
        /// The change.
        change: Change,
        /// Which way it came.
        by: By,
    },
}

/// The answer to `POST /v1/session`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// When to ask again.
    pub next_session: Duration,
    /// How often to read although nothing seems to be missing.
    pub resync: Duration,
    /// The targets, by name.
    pub targets: BTreeMap<String, Connection>,
    /// The modules.
    pub modules: BTreeMap<ModuleName, Told>,
}

/// How to connect to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The target's name.
    pub target: String,
    /// MQTT over TCP or TLS.
    pub url: Option<String>,
    /// MQTT over WebSocket.
    pub websocket_url: Option<String>,
    /// The newest version that it speaks: `5` or `3.1.1`.
    pub protocol: String,
    /// With which to connect.
    pub client_id: String,
    /// None = connect without.
    pub username: Option<String>,
    /// None = connect without.
    pub password: Option<String>,
    /// MQTT keep-alive.
    pub keep_alive: Duration,
}

/// What the session says of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// How its changes come.
    pub transport: Transport,
    /// Why: a stable word.
    pub reason: String,
    /// What to subscribe to.
    pub topics: Vec<String>,
    /// Where.
    pub target: Option<String>,
    /// Between two polls.
    pub next_poll: Option<Duration>,
}

/// The answer to a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In order, without a gap.
    pub changes: Vec<Change>,
    /// Where the next read begins.
    pub cursor: Cursor,
    /// It was cut: there is more.
    pub has_more: bool,
    /// The changes are the last ones of their keys, since the log does not reach back so far (`$snapshot` of a legacy poll).
    pub is_state: bool,
    /// When to poll again, if the answer says it.
    pub next_poll: Option<Duration>,
    /// How changes should come, if the answer says it (`Changeover-Transport`, `$transport`).
    pub transport: Option<Transport>,
}

/// A page of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePage {
    /// The keys.
    pub items: Vec<Change>,
    /// Where the log goes on once all pages are applied.
    pub cursor: Cursor,
    /// Where the next page is; none = this is the last.
    pub next: Option<String>,
}

/// What comes over MQTT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A change.
    Change(ModuleName, Change),
    /// The retained message of a module.
    Bookmark(Bookmark),
}

/// What a client needs of the retained message of a module. Its `head` is information and moves no cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bookmark {
    /// The module.
    pub module: ModuleName,
    /// The incarnation of its log.
    pub epoch: crate::domain::Epoch,
    /// Another one: this broker may have lost something.
    pub generation: u64,
    /// Another one: ask for the session.
    pub version: i64,
}
