//! `[server]`: listeners and the process itself.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Problems, listener_tls::ListenerTls, port};
use crate::domain::Network;

/// Listeners and the process itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Legacy polls and everything for clients.
    pub public: SocketAddr,
    /// Where clients find the public listener, as an http:// or https:// URL. It begins the addresses in
    /// pointer events; absent = they are relative.
    pub public_url: Option<String>,
    /// Ingest, admin API, metrics. Whoever calls there shows a token.
    pub private: SocketAddr,
    /// Names other than the loopback ones that requests to the private listener may carry in `Host`.
    pub private_hosts: Vec<String>,
    /// Address ranges of the proxies before the public listener: only from them is `X-Forwarded-For` believed.
    pub proxies: Vec<String>,
    /// Origins whose web pages may read streams, snapshots and `POST /v1/poll`; `*` = all.
    pub cors_origins: Vec<String>,
    /// Name of this replica, unique among those that share a database; empty = host name and port.
    pub instance: String,
    /// How long a shutdown may take before it is forced. Clients of the public listener that have not
    /// finished are cut off at two fifths of it, those of the private listener at half.
    pub drain_ms: u64,
    /// Connections per listener that wait to be accepted; the system's own bound holds too.
    pub backlog: u32,
    /// Connections per listener; one more waits to be accepted.
    pub max_connections: usize,
    /// Connections per listener of one address; one more is closed. 0 = no limit.
    pub max_connections_per_address: usize,
    /// How long a client may take to take in 64 KiB of what waits for it, or stay idle between requests.
    pub idle_timeout_ms: u64,
    /// How long a client may take to send the rest of a request's head, and for the handshake of TLS.
    pub head_timeout_ms: u64,
    /// How long the body of a request to the private listener may take.
    pub body_timeout_ms: u64,
    /// Largest head of a request, its first line included.
    pub max_head_bytes: usize,
    /// Most headers of a request.
    pub max_headers: usize,
    /// Longest path and query of a request.
    pub max_url_bytes: usize,
    /// Answers of the public listener larger than this are compressed for clients that accept
    /// gzip; 0 = none.
    pub compress_above_bytes: usize,
    /// How long browsers keep to TLS that have come by TLS once (`Strict-Transport-Security`); 0 = it is not said.
    pub hsts_s: u64,
    /// TLS of the public listener.
    pub public_tls: Option<ListenerTls>,
    /// TLS of the private listener.
    pub private_tls: Option<ListenerTls>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            public: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            private: SocketAddr::from(([127, 0, 0, 1], 8081)),
            private_hosts: Vec::new(),
            proxies: Vec::new(),
            cors_origins: Vec::new(),
            instance: String::new(),
            drain_ms: 10_000,
            backlog: port::BACKLOG,
            max_connections: 20_000,
            max_connections_per_address: 0,
            idle_timeout_ms: 75_000,
            head_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            max_head_bytes: 65_536,
            max_headers: 100,
            max_url_bytes: 32_768,
            compress_above_bytes: 8_192,
            hsts_s: 86_400,
            public_tls: None,
            private_tls: None,
        }
    }
}

impl Server {
    /// The name of this replica: the configured one, or host name and public port.
    pub fn instance_name(&self) -> String {
        if !self.instance.is_empty() {
            return self.instance.clone();
        }
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let plain = |c: char| if is_instance_char(c) { c } else { '-' };
        let host: String = host.chars().map(plain).take(INSTANCE_CHARS - 6).collect();
        format!("{host}-{}", self.public.port())
    }

    /// What requests to the private listener may carry in `Host` beside the loopback names: its own address, and the configured names.
    pub fn answers_to(&self) -> Vec<String> {
        let own = match self.private.ip() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let own = (!self.private.ip().is_unspecified()).then_some(own);
        self.private_hosts.iter().cloned().chain(own).collect()
    }

    /// The proxies before the public listener.
    pub fn proxies(&self) -> Vec<Network> {
        let ranges = self.proxies.iter();
        ranges.filter_map(|range| range.parse().ok()).collect()
    }

    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        self.validate_bounds(path, problems);
        self.validate_tls(path, problems);
        if let Some(why) = self.public_url.as_deref().and_then(check_public_url) {
            problems.push(format!("{path}.public_url"), why);
        }
        self.validate_private(path, problems);
        self.validate_proxies(path, problems);
        self.validate_origins(path, problems);
        self.validate_instance(path, problems);
    }

    fn validate_bounds(&self, path: &str, problems: &mut Problems) {
        const HOUR_MS: u64 = 3_600_000;
        let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let per_address = count(self.max_connections_per_address);
        for (key, value, min, max) in [
            ("drain_ms", self.drain_ms, 1, HOUR_MS),
            ("backlog", self.backlog.into(), 1, port::MOST_BACKLOG),
            ("max_connections", count(self.max_connections), 1, 1_000_000),
            ("max_connections_per_address", per_address, 0, 1_000_000),
            ("idle_timeout_ms", self.idle_timeout_ms, 100, HOUR_MS),
            ("head_timeout_ms", self.head_timeout_ms, 100, HOUR_MS),
            ("body_timeout_ms", self.body_timeout_ms, 100, HOUR_MS),
            ("max_head_bytes", count(self.max_head_bytes), 1_024, 262_144),
            ("max_headers", count(self.max_headers), 16, 1_000),
            ("max_url_bytes", count(self.max_url_bytes), 256, 65_534),
            (
                "compress_above_bytes",
                count(self.compress_above_bytes),
                0,
                1 << 30,
            ),
            ("hsts_s", self.hsts_s, 0, 63_072_000),
        ] {
            problems.bound(&format!("{path}.{key}"), value, min, max);
        }
    }

    fn validate_tls(&self, path: &str, problems: &mut Problems) {
        for (key, tls) in [
            ("public_tls", &self.public_tls),
            ("private_tls", &self.private_tls),
        ] {
            if let Some(tls) = tls {
                tls.validate(&format!("{path}.{key}"), problems);
            }
        }
    }

    /// What is allowed and may still not be what was meant.
    pub(super) fn warn(&self, path: &str, warnings: &mut Problems) {
        if !self.private.ip().is_loopback() && self.private_tls.is_none() {
            let why = "is not a loopback address, and what goes over it is not encrypted: whoever can listen on the way reads the tokens";
            warnings.push(format!("{path}.private"), format!("{} {why}", self.private));
        }
    }

    fn validate_private(&self, path: &str, problems: &mut Problems) {
        for (n, name) in self.private_hosts.iter().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
            if name.is_empty() || !name.chars().all(plain) {
                problems.push(
                    format!("{path}.private_hosts[{n}]"),
                    "must be a host name or address as it stands in a Host header, such as \"gateway.internal\"",
                );
            }
        }
    }

    fn validate_proxies(&self, path: &str, problems: &mut Problems) {
        for (n, range) in self.proxies.iter().enumerate() {
            if let Err(invalid) = range.parse::<Network>() {
                problems.push(format!("{path}.proxies[{n}]"), invalid.why);
            }
        }
    }

    fn validate_origins(&self, path: &str, problems: &mut Problems) {
        for (n, origin) in self.cors_origins.iter().enumerate() {
            let is_origin = url::Url::parse(origin)
                .is_ok_and(|url| url.origin().ascii_serialization() == *origin);
            if origin != "*" && !is_origin {
                problems.push(
                    format!("{path}.cors_origins[{n}]"),
                    "must be an origin as browsers send it, such as \"https://app.example.com\" without a path, or \"*\"",
                );
            }
        }
    }

    fn validate_instance(&self, path: &str, problems: &mut Problems) {
        let name = &self.instance;
        if name.len() > INSTANCE_CHARS || !name.chars().all(is_instance_char) {
            problems.push(
                format!("{path}.instance"),
                format!(
                    "must be at most {INSTANCE_CHARS} characters of A-Z, a-z, 0-9, `.`, `_` and `-`: it becomes part of MQTT client ids"
                ),
            );
        }
    }
}

/// The longest public URL: a pointer event that holds it stays small.
const PUBLIC_URL_BYTES: usize = 256;

fn check_public_url(url: &str) -> Option<String> {
    let parsed = match url::Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => parsed,
        _ => return Some("must be an http:// or https:// URL".to_owned()),
    };
    if url.len() > PUBLIC_URL_BYTES {
        return Some(format!("must have at most {PUBLIC_URL_BYTES} bytes"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Some("must not hold a user or password: every client is told this URL".to_owned());
    }
    let ends = parsed.query().is_none() && parsed.fragment().is_none();
    (!ends).then(|| "must end with its path: paths of the gateway are added to it".to_owned())
}

/// The longest instance name. It becomes part of MQTT client ids.
const INSTANCE_CHARS: usize = 64;

const fn is_instance_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}
