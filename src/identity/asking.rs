//! What a request brings along by which its caller may be known.

use std::net::IpAddr;

use http::HeaderMap;

/// A request that asks for something at a door.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Its headers, cookies among them.
    pub headers: &'a HeaderMap,
    /// What stands behind the `?`.
    pub query: Option<&'a str>,
    /// The other end of the connection: a proxy, or the client itself.
    pub peer: IpAddr,
    /// Where the client calls from, as far as proxies that are believed say it.
    pub address: IpAddr,
}
