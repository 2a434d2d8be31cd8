//! With what a client enters a target, and as whom.
//!
//! Invariant: only where a client has to be made on the broker first it is waited for, for a bounded time.

use super::{AskedSession, Connection, Sessions, Target, client_id};
use crate::{config::credentials::Credentials, identity::passes::Issued};

impl Sessions {
    /// Whether the client is there, where it has to be made.
    pub(super) fn is_made(&self, connection: &Connection) -> bool {
        let target = self.targets.get(&connection.target);
        let has_to_be = target.is_some_and(Target::is_made_there);
        !has_to_be || connection.password.is_some()
    }

    /// How this client connects to a target; nothing if there is none of the name.
    pub(super) async fn connection(&self, name: &str, asked: &AskedSession) -> Option<Connection> {
        let target = self.targets.get(name)?;
        let longest = target.limits.client_id_bytes;
        let client_id = client_id::of(
            &target.group,
            (&asked.who, &asked.audiences),
            &asked.client_id,
            longest,
        );
        let entered_with = self.issue(name, target, asked, &client_id).await;
        let (username, password) = entered_with
            .map(|issued| (issued.username, issued.password))
            .unzip();
        let aliases = self.census.presence().aliases();
        aliases.note(&client_id, &asked.client_id);
        Some(Connection {
            target: name.to_owned(),
            url: target.address.mqtt.clone(),
            websocket_url: target.address.websocket.clone(),
            protocol: target.protocol,
            client_id,
            username,
            password,
            keep_alive_s: self.settings.keep_alive_s,
        })
    }

    /// With what the client enters. Without, where it needs something, it is refused there and polls on.
    async fn issue(
        &self,
        name: &str,
        target: &Target,
        asked: &AskedSession,
        client_id: &str,
    ) -> Option<Issued> {
        match target.credentials {
            Credentials::None => None,
            Credentials::Static => self.credentials.configured(name),
            Credentials::Signed => {
                let passes = self.credentials.passes()?;
                passes.issue(&asked.who, &asked.audiences, client_id)
            }
            Credentials::Dynsec => {
                let desk = self.credentials.desk(name)?;
                let who = (&asked.who, asked.address);
                desk.issue(who, &asked.audiences, client_id).await
            }
        }
    }
}

impl Target {
    /// Whether clients have to be made on its broker before they enter.
    fn is_made_there(&self) -> bool {
        self.credentials == Credentials::Dynsec
    }
}
