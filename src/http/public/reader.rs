//! Which client reads, and how its changes reach it: what native reads may say of themselves in headers.
//!
//! Invariants: a read that names no client and whose caller is open is answered like any other and noted nowhere; nobody is noted as
//! another caller's client.

use std::{borrow::Cow, net::IpAddr, time::Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header::USER_AGENT};

use super::{doors::Brought, native::NativeState};
use crate::{
    domain::{Client, Transport},
    identity::{Refused, Who},
    native::Channels,
};

/// Which client reads: the same id as in its session.
pub(super) const CLIENT: HeaderName = HeaderName::from_static("changeover-client");
/// How changes reach it now: `push` if they do over MQTT, and it only reads what it may have missed.
pub(super) const TRANSPORT: HeaderName = HeaderName::from_static("changeover-transport");

/// Who reads.
pub(super) struct Reader<'a> {
    /// `None` = nobody knows.
    client_id: Option<Cow<'a, str>>,
    agent: &'a [u8],
    headers: &'a HeaderMap,
    address: Option<IpAddr>,
}

impl<'a> Reader<'a> {
    /// The client of a caller. Refused if it is another's.
    pub(super) fn new(brought: &'a Brought, who: &'a Who) -> Result<Self, Refused> {
        let headers = &brought.headers;
        let said = headers.get(CLIENT).map(HeaderValue::as_bytes);
        let said = said.and_then(|id| str::from_utf8(id).ok());
        let client_id = if who.caller().is_some() {
            let said = said.filter(|id| !id.is_empty());
            Some(who.client_id(said.map(Cow::Borrowed))?)
        } else {
            said.map(Cow::Borrowed)
        };
        Ok(Self {
            client_id,
            agent: agent(who, headers),
            headers,
            address: brought.address(),
        })
    }

    /// Notes in the census that it reads these channels.
    pub(super) fn note(&self, state: &NativeState, channels: &Channels) {
        let Some(id) = &self.client_id else {
            return;
        };
        let Some(clients) = state.census.clients(channels.module()) else {
            return;
        };
        let client = Client {
            id,
            audiences: channels.audiences(),
            agent: self.agent,
            address: self.address,
        };
        let told = state.adviser.evaluate(channels.module(), &client).transport;
        let says = self.headers.get(TRANSPORT).map(HeaderValue::as_bytes);
        if says == Some(Transport::Push.as_str().as_bytes()) {
            clients.reads_on_push(&client, told, Instant::now());
        } else {
            clients.polls(&client, told, false, Instant::now());
        }
    }
}

/// Its program and version: what its credential says of it, else what it says itself.
fn agent<'a>(who: &'a Who, headers: &'a HeaderMap) -> &'a [u8] {
    let vouched = who.caller().and_then(|caller| caller.agent.as_deref());
    let told = || headers.get(USER_AGENT).map(HeaderValue::as_bytes);
    vouched.map(str::as_bytes).or_else(told).unwrap_or_default()
}
