//! Which client reads, and how its changes reach it: what native reads may say of themselves in headers.
//!
//! Invariant: a read that names no client is answered like any other and noted nowhere.

use std::{net::IpAddr, time::Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header::USER_AGENT};

use super::native::NativeState;
use crate::{
    domain::{Client, Transport},
    native::Channels,
};

/// Which client reads: the same id as in its session.
pub(super) const CLIENT: HeaderName = HeaderName::from_static("changeover-client");
/// How changes reach it now: `push` if they do over MQTT, and it only reads what it may have missed.
pub(super) const TRANSPORT: HeaderName = HeaderName::from_static("changeover-transport");

/// Who reads.
pub(super) struct Reader<'a> {
    headers: &'a HeaderMap,
    address: Option<IpAddr>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(headers: &'a HeaderMap, address: Option<IpAddr>) -> Self {
        Self { headers, address }
    }

    /// Notes in the census that it reads these channels.
    pub(super) fn note(&self, state: &NativeState, channels: &Channels) {
        let id = self.headers.get(CLIENT).map(HeaderValue::as_bytes);
        let Some(id) = id.and_then(|id| str::from_utf8(id).ok()) else {
            return;
        };
        let Some(clients) = state.census.clients(channels.module()) else {
            return;
        };
        let agent = self.headers.get(USER_AGENT);
        let client = Client {
            id,
            audiences: channels.audiences(),
            agent: agent.map_or(&[], HeaderValue::as_bytes),
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
