//! Who asks for a session, and for what.

use std::{net::IpAddr, sync::Arc};

use crate::{
    domain::{Audience, Client, ModuleName},
    identity::Who,
};

/// Who asks, and for what. What is here was checked.
#[derive(Debug, Clone)]
pub struct AskedSession {
    /// The client.
    pub client_id: String,
    /// Whose client it is.
    pub who: Who,
    /// Whose changes it may read, besides everyone's: sorted.
    pub audiences: Arc<[Audience]>,
    /// Its program and version; empty if it says nothing.
    pub agent: String,
    /// Where it calls from.
    pub address: Option<IpAddr>,
    /// The modules that it wants; `None` = all.
    pub modules: Option<Vec<ModuleName>>,
    /// Spreads what clients do later: from 0 up to 1.
    pub chance: f64,
}

impl AskedSession {
    /// What is known of the client that asks.
    pub fn client(&self) -> Client<'_> {
        Client {
            id: &self.client_id,
            audiences: &self.audiences,
            agent: self.agent.as_bytes(),
            address: self.address,
        }
    }
}
