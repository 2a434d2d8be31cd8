//! Where a request comes from.
//!
//! Invariants: what a request says of its origin is believed only of a proxy that the configuration names; without proxies it costs nothing.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, Request};

use crate::domain::Network;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where a request comes from, as its handlers find it.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallsFrom {
    /// The other end of its connection.
    pub(super) peer: IpAddr,
    /// The client, as far as proxies that are believed say it.
    pub(super) address: IpAddr,
}

impl CallsFrom {
    /// What the service has found out of a request's origin.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        request.extensions().get().copied()
    }
}

/// The proxies before this listener.
#[derive(Debug, Clone, Default)]
pub(super) struct Callers {
    proxies: Vec<Network>,
}

impl Callers {
    pub(super) const fn behind(proxies: Vec<Network>) -> Self {
        Self { proxies }
    }

    /// The address of the client behind a connection. A proxy adds whom it speaks for at the end of `X-Forwarded-For`, so the
    /// last address that is no proxy of ours is the one that the first of ours has seen.
    pub(super) fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut nearest = peer.to_canonical();
        if !self.is_proxy(nearest) {
            return nearest;
        }
        let lines = headers.get_all(FORWARDED_FOR).into_iter().rev();
        let told = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for text in told {
            let Some(address) = str::from_utf8(text).ok().and_then(element) else {
                break;
            };
            nearest = address.to_canonical();
            if !self.is_proxy(nearest) {
                break;
            }
        }
        nearest
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|range| range.contains(address))
    }
}

/// The address in one element. Some proxies write the port behind it, and an IPv6 address in brackets then.
fn element(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    let bracketed = || {
        text.strip_prefix('[')?
            .strip_suffix(']')?
            .parse()
            .ok()
            .map(IpAddr::V6)
    };
    text.parse().ok().or_else(with_port).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_proxies_are_believed() {
        let callers = Callers::behind(vec!["10.0.0.0/8".parse().unwrap()]);
        for (peer, lines, expected) in [
            ("192.0.2.1", vec!["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.1", vec!["198.51.100.7"], "198.51.100.7"),
            (
                "::ffff:10.0.0.1",
                vec!["::ffff:198.51.100.7"],
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                vec!["203.0.113.9, 198.51.100.7,10.0.0.2"],
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                vec!["203.0.113.9", "198.51.100.7", "10.0.0.2"],
                "198.51.100.7",
            ),
            ("10.0.0.1", vec!["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", vec!["198.51.100.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec!["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", vec!["198.51.100.7:443"], "198.51.100.7"),
            (
                "10.0.0.1",
                vec!["203.0.113.9, 198.51.100.7:1, 10.0.0.2:65535"],
                "198.51.100.7",
            ),
            ("10.0.0.1", vec!["[2001:db8::1]:443"], "2001:db8::1"),
            ("10.0.0.1", vec!["[2001:db8::1]"], "2001:db8::1"),
            (
                "10.0.0.1",
                vec!["[::ffff:198.51.100.7]:443"],
                "198.51.100.7",
            ),
            ("10.0.0.1", vec!["198.51.100.7, 10.0.0.3:x"], "10.0.0.1"),
            ("10.0.0.1", vec!["198.51.100.7:65536"], "10.0.0.1"),
            ("10.0.0.1", vec!["[198.51.100.7]"], "10.0.0.1"),
            ("10.0.0.1", vec!["2001:db8::1]:443"], "10.0.0.1"),
        ] {
            let values = lines.iter().map(|line| HeaderValue::from_static(line));
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(FORWARDED_FOR, value);
            }
            let found = callers.address(peer.parse().unwrap(), &headers);
            assert_eq!(found.to_string(), expected, "{peer} {lines:?}");
        }
        let peer = "10.0.0.1".parse().unwrap();
        let headers =
            HeaderMap::from_iter([(FORWARDED_FOR, HeaderValue::from_static("192.0.2.1"))]);
        assert_eq!(Callers::default().address(peer, &headers), peer);
    }
}
