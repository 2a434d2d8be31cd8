//! A client, as far as its requests show it.

use std::net::IpAddr;

use super::Audience;

/// What is known of a client when it is decided what it is told. Borrowed from its request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Client<'a> {
    /// Its id; empty if it cannot be told apart from others.
    pub id: &'a str,
    /// Whose changes it reads.
    pub audiences: &'a [Audience],
    /// Its program and version, by its own word; empty if it says nothing.
    pub agent: &'a [u8],
    /// Where it calls from.
    pub address: Option<IpAddr>,
}

impl<'a> Client<'a> {
    /// A client of which only the id is known.
    pub const fn named(id: &'a str) -> Self {
        Self {
            id,
            audiences: &[],
            agent: &[],
            address: None,
        }
    }
}
