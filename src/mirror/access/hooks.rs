//! What brokers that ask are told, free of the words in which each of them asks.
//!
//! Invariant: a user name of a session grants what its pass names and no more; the gateway's own users have everything below its
//! prefix and nothing beside it; whoever is neither gets what the operator said.

use std::sync::Arc;

use super::{Access, GatewayUser, Logins};
use crate::{
    config::broker_hooks::Others,
    identity::passes::{Denied, Doorkeeper, Entered, Pass},
};

/// What a broker is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allow,
    /// No.
    Deny,
    /// Ask somebody else.
    Ignore,
}

/// Who logs in.
#[derive(Debug)]
pub enum LoggedIn {
    /// A client with its pass.
    Client(Entered),
    /// The gateway itself.
    Gateway,
    /// Nobody: the answer is this one.
    Nobody(Verdict),
    /// Somebody who says to be one of ours, and is not.
    Wrong,
}

/// What is done with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It is a filter, to be subscribed to.
    Subscribe,
    /// It is published to.
    Publish,
}

/// What the brokers of all targets with signed passes ask.
pub struct Hooks {
    access: Access,
    logins: Arc<Logins>,
    client_id_prefix: Box<str>,
    others: Others,
}

/// Who a user name belongs to.
enum User {
    Client(Pass),
    Gateway,
    Other,
    Wrong,
}

impl Hooks {
    /// The gateway's own MQTT client ids begin with `client_id_prefix`.
    pub fn new(
        access: Access,
        logins: Arc<Logins>,
        client_id_prefix: &str,
        others: Others,
    ) -> Self {
        Self {
            access,
            logins,
            client_id_prefix: client_id_prefix.chars().take(KEPT_OF_PREFIX).collect(),
            others,
        }
    }

    /// Who logs in with these.
    pub fn login(&self, client_id: &str, username: &str, password: &[u8]) -> LoggedIn {
        match self.logins.gateway(username, password) {
            GatewayUser::Proven if self.is_gateways(client_id) => return LoggedIn::Gateway,
            GatewayUser::Proven | GatewayUser::Wrong => return LoggedIn::Wrong,
            GatewayUser::Other => {}
        }
        match self.access.enter(client_id, username, password) {
            Ok(entered) => LoggedIn::Client(entered),
            Err(Denied::Foreign) => LoggedIn::Nobody(self.other()),
            Err(_) => LoggedIn::Wrong,
        }
    }

    /// Whether a user who was let in may do something. A broker that tells its client id as well has it checked.
    pub fn may(
        &self,
        username: &str,
        client_id: Option<&str>,
        doing: Doing,
        topic: &str,
    ) -> Verdict {
        let granted = match self.user(username) {
            User::Client(pass) => {
                let is_its_own = client_id.is_none_or(|id| id == pass.client_id());
                let reads = doing == Doing::Subscribe;
                reads && is_its_own && self.access.may_subscribe(&pass, topic)
            }
            User::Gateway => self.access.is_ours(topic),
            User::Other => return self.other(),
            User::Wrong => false,
        };
        verdict(granted)
    }

    /// Whether a user is one of ours at all.
    pub fn is_known(&self, username: &str) -> Verdict {
        match self.user(username) {
            User::Client(_) | User::Gateway => Verdict::Allow,
            User::Other => self.other(),
            User::Wrong => Verdict::Deny,
        }
    }

    /// Whether what belongs to an MQTT client id is this user's.
    pub fn owns(&self, username: &str, client_id: &str) -> Verdict {
        match self.user(username) {
            User::Client(pass) => verdict(pass.client_id() == client_id),
            User::Gateway => verdict(self.is_gateways(client_id)),
            User::Other => self.other(),
            User::Wrong => Verdict::Deny,
        }
    }

    /// Whether a user may publish at all.
    pub fn publishes(&self, username: &str) -> Verdict {
        match self.user(username) {
            User::Gateway => Verdict::Allow,
            User::Other => self.other(),
            User::Client(_) | User::Wrong => Verdict::Deny,
        }
    }

    /// All that a client may subscribe to, unless that is more than `most`.
    pub fn topics_of(&self, pass: &Pass, most: usize) -> Option<Vec<String>> {
        self.access.topics_of(pass, most)
    }

    /// The filters below which the gateway may do everything.
    pub fn prefixes(&self) -> Vec<String> {
        self.access.prefixes()
    }

    fn user(&self, username: &str) -> User {
        if self.logins.is_gateway(username) {
            return User::Gateway;
        }
        match self.access.named(username) {
            Ok(pass) => User::Client(pass),
            Err(Denied::Foreign) => User::Other,
            Err(_) => User::Wrong,
        }
    }

    fn is_gateways(&self, client_id: &str) -> bool {
        client_id.starts_with(&*self.client_id_prefix)
    }

    const fn other(&self) -> Verdict {
        match self.others {
            Others::Deny => Verdict::Deny,
            Others::Ignore => Verdict::Ignore,
        }
    }
}

/// What a client id of ours has of the prefix where the broker takes short ones only.
const KEPT_OF_PREFIX: usize = 14;

const fn verdict(granted: bool) -> Verdict {
    if granted {
        Verdict::Allow
    } else {
        Verdict::Deny
    }
}
