//! The users of the configuration: the gateway's own at each target, and the one that a target's clients share.
//!
//! Their passwords may stand in files that change while the gateway runs. Invariant: whoever asks is answered from memory, as it was
//! read a few seconds ago; a password that cannot be read lets nobody in.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, login::Login, mqtt::Target},
    identity::passes::Issued,
};

/// How often the passwords are read.
const REFRESH: Duration = Duration::from_secs(5);

/// The users, and their passwords as they were read.
pub struct Logins {
    gateway: Vec<Login>,
    clients: BTreeMap<String, Login>,
    read: ArcSwap<Read>,
}

#[derive(Default)]
struct Read {
    gateway: Vec<(String, String)>,
    clients: BTreeMap<String, Issued>,
}

/// What a user name is to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayUser {
    /// Its own, with the right password.
    Proven,
    /// Its own, with a wrong one.
    Wrong,
    /// Somebody else's.
    Other,
}

impl Logins {
    /// Those of the configured targets. Nobody is known before the first [`Self::refresh`].
    pub fn new(config: &Config) -> Self {
        let targets = config.mqtt.effective_targets();
        let clients = targets.iter().filter_map(|target| {
            let login = target.client_login()?;
            Some((target.name.clone(), login))
        });
        let external = targets.iter().filter(|target| !target.is_embedded());
        Self {
            gateway: external.filter_map(Target::login).collect(),
            clients: clients.collect(),
            read: ArcSwap::default(),
        }
    }

    /// Whether there is anything to read.
    pub fn is_empty(&self) -> bool {
        self.gateway.is_empty() && self.clients.is_empty()
    }

    /// Reads the passwords. It may wait for a disk.
    pub fn refresh(&self) {
        let read = |login: &Login| match login.password.read() {
            Ok(password) => Some((login.user.clone(), password)),
            Err(unusable) => {
                tracing::warn!(user = %login.user, %unusable, "the password of a target cannot be read");
                None
            }
        };
        let clients = self.clients.iter().filter_map(|(target, login)| {
            let (username, password) = read(login)?;
            Some((target.clone(), Issued { username, password }))
        });
        self.read.store(Arc::new(Read {
            gateway: self.gateway.iter().filter_map(read).collect(),
            clients: clients.collect(),
        }));
    }

    /// Reads them again and again until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let logins = Arc::clone(&self);
            let _done = tokio::task::spawn_blocking(move || logins.refresh()).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(REFRESH) => {}
            }
        }
    }

    /// Whether a user is the gateway's own.
    pub fn is_gateway(&self, username: &str) -> bool {
        self.gateway.iter().any(|login| login.user == username)
    }

    /// What somebody is who says to be this user.
    pub fn gateway(&self, username: &str, password: &[u8]) -> GatewayUser {
        if !self.is_gateway(username) {
            return GatewayUser::Other;
        }
        let read = self.read.load();
        let is_right = |(user, right): &(String, String)| {
            user == username && !right.is_empty() && bool::from(right.as_bytes().ct_eq(password))
        };
        if read.gateway.iter().any(is_right) {
            GatewayUser::Proven
        } else {
            GatewayUser::Wrong
        }
    }

    /// Whether the clients of a target share a user whose password cannot be read.
    pub fn lacks(&self, target: &str) -> bool {
        self.clients.contains_key(target) && self.of_clients(target).is_none()
    }

    /// With what all clients of a target connect.
    pub(super) fn of_clients(&self, target: &str) -> Option<Issued> {
        self.read.load().clients.get(target).cloned()
    }
}
